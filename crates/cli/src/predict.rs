//! `polyptych predict`: one picture per photograph, raw maps on request, and a table of what is said
//! of whole images.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;
use polyptych_engine::{Prediction, Predictor, image_files, output_names, passed_over};
use serde::Serialize;

use crate::command::Subcommand;
use crate::open::OpenFlags;
use crate::output::{note, say};
use crate::progress::Counter;

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
    /// Lay maps over the photograph, with this share of the map, from 0 to 1
    #[arg(long, value_name = "ALPHA", value_parser = share, conflicts_with = "bare")]
    overlay: Option<f32>,
    /// Draw photograph and maps alone, without titles, legends and bars
    #[arg(long)]
    bare: bool,
    /// Also write the maps themselves, one safetensors file per photograph: a tensor for each task,
    /// [channels, height, width] at the photograph's own size
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    open: OpenFlags,
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
        let run = flags.open.open(&flags.run)?;
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
            0 => Ok(ExitCode::SUCCESS),
            count => {
                bail!("{count} of {} photographs were left out: {}", files.len(), bad.join("; "))
            }
        }
    }
}

fn share(text: &str) -> Result<f32, String> {
    let expected = || format!("expected a number from 0 to 1, found {text}");
    let share: f32 = text.parse().map_err(|_| expected())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(expected()) }
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
    flags: &Predict,
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
