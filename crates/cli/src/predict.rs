//! `polyptych predict`: one picture per photograph, and raw maps on request.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use polyptych_engine::{OpenRun, Prediction, Predictor, image_files, output_names, passed_over};

use crate::command::Subcommand;
use crate::output::{note, say};

/// Predict every task for photographs, at their own size; one that cannot be read is left out
/// and named at the end
#[derive(Debug, Parser)]
#[command(
    name = "predict",
    after_help = "Examples:\n  polyptych predict runs/quickstart photograph.jpg\n  polyptych predict runs/quickstart/merged photographs --out seen --raw"
)]
pub(crate) struct Predict {
    /// Folder of a run or of a merged model
    run: PathBuf,
    /// Photographs, or folders of them
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Where pictures go: DIR/x.png for x.jpg; where two photographs have one name, with their
    /// folders below the one that holds all, DIR/a/x.png and DIR/b/x.png, and with their endings
    /// where only those differ, DIR/x.jpg.png
    #[arg(long, value_name = "DIR", default_value = "predictions")]
    out: PathBuf,
    /// Also write the maps themselves, one safetensors file per photograph: a tensor for each task,
    /// [channels, height, width] at the photograph's own size
    #[arg(long)]
    raw: bool,
    /// Take the best checkpoint instead of the last one
    #[arg(long)]
    best: bool,
    /// Device instead of the recipe's: auto, cpu, cuda:N
    #[arg(long)]
    device: Option<String>,
}

impl Subcommand for Predict {
    fn run(flags: &Self) -> Result<ExitCode> {
        let files = image_files(&flags.images)?;
        note_passed_over(&passed_over(&flags.images)?);
        if files.is_empty() {
            let folders: Vec<_> = flags.images.iter().map(|p| p.display().to_string()).collect();
            bail!(
                "{}: expected JPEG, PNG, WebP, TIFF or BMP images, found none",
                folders.join(", ")
            );
        }
        let names: Vec<PathBuf> = output_names(&files).iter().map(|n| flags.out.join(n)).collect();
        spare(&files, &names)?;
        let run = OpenRun::open(&flags.run, flags.best, flags.device.as_deref())?;
        let predictor = Predictor::new(run);
        let mut bad = Vec::new();
        for (file, name) in files.iter().zip(&names) {
            match predictor.predict(file) {
                Ok(prediction) => write(&predictor, &prediction, name, flags.raw)?,
                Err(e) => bad.push(e.to_string()),
            }
        }
        if bad.len() < files.len() {
            note!("panels: {}", predictor.titles().join(", "));
        }
        match bad.len() {
            0 => Ok(ExitCode::SUCCESS),
            count => {
                bail!("{count} of {} photographs were left out: {}", files.len(), bad.join("; "))
            }
        }
    }
}

/// Folders within folders are not looked into, and neither are files of other formats.
fn note_passed_over(others: &[PathBuf]) {
    let shown: Vec<String> = others.iter().take(3).map(|p| p.display().to_string()).collect();
    match others.len() {
        0 => {}
        count @ 1..=3 => note!("passed over, no photographs ({count}): {}", shown.join(", ")),
        count => note!("passed over, no photographs ({count}): {}, ..", shown.join(", ")),
    }
}

fn write(predictor: &Predictor, prediction: &Prediction, name: &Path, raw: bool) -> Result<()> {
    let folder = name.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: expected a folder, or a new name", folder.display()))?;
    let picture = with_ending(name, ".png");
    predictor.save_panel(prediction, &picture)?;
    say!("{}", picture.display());
    for (task, words) in predictor.image_level(prediction) {
        say!("  {task}: {words}");
    }
    if raw {
        let maps = with_ending(name, ".safetensors");
        predictor.save_raw(prediction, &maps)?;
        say!("{}", maps.display());
    }
    Ok(())
}

/// Refuses to write a prediction over a photograph.
fn spare(files: &[PathBuf], names: &[PathBuf]) -> Result<()> {
    let photographs: Vec<_> = files.iter().filter_map(|file| file.canonicalize().ok()).collect();
    let pictures = names.iter().map(|name| with_ending(name, ".png"));
    let meets = |picture: &PathBuf| {
        picture.canonicalize().is_ok_and(|picture| photographs.contains(&picture))
    };
    match pictures.into_iter().find(meets) {
        Some(picture) => bail!(
            "{}: expected to write a new picture, found one of the photographs there; name another \
             folder with --out",
            picture.display()
        ),
        None => Ok(()),
    }
}

/// Behind all of the name: what stands behind a point in it is part of it.
fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut whole: OsString = name.into();
    whole.push(ending);
    whole.into()
}
