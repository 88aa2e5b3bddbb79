//! `polyptych predict`: one picture per photograph, and raw maps on request.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use polyptych_engine::{OpenRun, Predictor, image_files};

use crate::flags::PredictFlags;
use crate::output::say;

pub(crate) fn run(flags: &PredictFlags) -> Result<()> {
    let files = image_files(&flags.images)?;
    if files.is_empty() {
        let folders: Vec<_> = flags.images.iter().map(|p| p.display().to_string()).collect();
        bail!("{}: expected JPEG, PNG, WebP, TIFF or BMP images, found none", folders.join(", "));
    }
    let run = OpenRun::open(&flags.run, flags.best, flags.device.as_deref())?;
    let predictor = Predictor::new(run);
    std::fs::create_dir_all(&flags.out).with_context(|| flags.out.display().to_string())?;
    for file in &files {
        one(&predictor, file, flags)?;
    }
    eprintln!("panels: {}", predictor.titles().join(", "));
    Ok(())
}

fn one(predictor: &Predictor, file: &Path, flags: &PredictFlags) -> Result<()> {
    let prediction = predictor.predict(file)?;
    let picture = target(&flags.out, file, "png");
    predictor.save_panel(&prediction, &picture)?;
    say!("{}", picture.display());
    for (task, words) in predictor.image_level(&prediction) {
        say!("  {task}: {words}");
    }
    if flags.raw {
        let maps = target(&flags.out, file, "safetensors");
        predictor.save_raw(&prediction, &maps)?;
        say!("{}", maps.display());
    }
    Ok(())
}

fn target(folder: &Path, file: &Path, extension: &str) -> PathBuf {
    folder.join(file.file_name().unwrap_or_default()).with_extension(extension)
}
