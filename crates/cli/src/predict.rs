//! `polyptych predict`: one picture per photograph, raw maps on request, and a table of what is said
//! of whole images.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use polyptych_engine::{OpenRun, Prediction, Predictor, image_files, output_names, passed_over};
use serde::Serialize;

use crate::flags::PredictFlags;
use crate::output::{note, say};
use crate::progress::Counter;

pub(crate) fn run(flags: &PredictFlags) -> Result<()> {
    let files = image_files(&flags.images)?;
    note_passed_over(&passed_over(&flags.images)?);
    if files.is_empty() {
        let folders: Vec<_> = flags.images.iter().map(|p| p.display().to_string()).collect();
        bail!("{}: expected JPEG, PNG, WebP, TIFF or BMP images, found none", folders.join(", "));
    }
    let names: Vec<PathBuf> = output_names(&files).iter().map(|n| flags.out.join(n)).collect();
    spare(&files, &names)?;
    let run = OpenRun::open(&flags.run, flags.best, flags.device.as_deref())?;
    let predictor = Predictor::new(run);
    let (mut bad, mut table) = (Vec::new(), Table::default());
    let counter = Counter::new("photographs", files.len());
    for (done, (file, name)) in files.iter().zip(&names).enumerate() {
        match predictor.predict(file) {
            Ok(prediction) => {
                write(&predictor, &prediction, name, flags)?;
                table.add(file, &predictor, &prediction);
            }
            Err(e) => bad.push(e.to_string()),
        }
        counter.set(done + 1);
    }
    counter.finish();
    table.write(&flags.out)?;
    if bad.len() < files.len() {
        note!("panels: {}", predictor.titles().join(", "));
    }
    match bad.len() {
        0 => Ok(()),
        count => {
            bail!("{count} of {} photographs were left out: {}", files.len(), bad.join("; "))
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

fn write(
    predictor: &Predictor,
    prediction: &Prediction,
    name: &Path,
    flags: &PredictFlags,
) -> Result<()> {
    let folder = name.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: expected a folder, or a new name", folder.display()))?;
    let picture = with_ending(name, ".png");
    let drawn = match flags.bare {
        true => predictor.panel(prediction),
        false => predictor.figure(prediction, flags.overlay),
    };
    predictor.save_picture(&drawn, &picture)?;
    say!("{}", picture.display());
    for (task, words) in predictor.image_level(prediction) {
        say!("  {task}: {words}");
    }
    if flags.raw {
        let maps = with_ending(name, ".safetensors");
        predictor.save_raw(prediction, &maps)?;
        say!("{}", maps.display());
    }
    Ok(())
}

/// What is said of whole images, one row for each class that is named.
#[derive(Default)]
struct Table(Vec<Row>);

/// A class of an image.
#[derive(Serialize)]
struct Row {
    image: String,
    task: String,
    rank: usize,
    class: String,
    probability: f64,
}

impl Table {
    fn add(&mut self, file: &Path, predictor: &Predictor, prediction: &Prediction) {
        for (task, classes) in predictor.ranked(prediction) {
            self.0.extend((1..).zip(classes).map(|(rank, (class, probability))| Row {
                image: file.display().to_string(),
                task: task.clone(),
                rank,
                class,
                probability,
            }));
        }
    }

    /// Writes `predictions.csv` and `predictions.json`, where there is anything to say.
    fn write(&self, out: &Path) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let (csv_path, json_path) = (out.join("predictions.csv"), out.join("predictions.json"));
        let mut writer =
            csv::Writer::from_path(&csv_path).with_context(|| csv_path.display().to_string())?;
        self.0.iter().try_for_each(|row| writer.serialize(row))?;
        writer.flush().with_context(|| csv_path.display().to_string())?;
        let json = serde_json::to_string_pretty(&self.0)? + "\n";
        std::fs::write(&json_path, json).with_context(|| json_path.display().to_string())?;
        say!("{}", csv_path.display());
        say!("{}", json_path.display());
        Ok(())
    }
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
