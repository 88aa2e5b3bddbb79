//! Predictions for files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use polyptych_engine::{Drawing, Prediction, Predictor, output_names};

use super::depth_range::widened;
use super::flags::Predict;
use super::inputs::{Input, Kind, inputs};
use super::place::with_ending;
use super::table::Table;
use super::video::Video;
use crate::output::{note, say};
use crate::progress::Counter;

pub(super) fn run(flags: &Predict) -> Result<ExitCode> {
    // Downloads live as long as this folder.
    let downloads = tempfile::tempdir().context("a folder for downloads")?;
    let found = inputs(&flags.images, &flags.out, downloads.path())?;
    let (inputs, mut bad) = (found.inputs, found.bad);
    let files: Vec<PathBuf> = inputs.iter().map(|input| input.file.clone()).collect();
    let names: Vec<PathBuf> = output_names(&files).iter().map(|n| flags.out.join(n)).collect();
    spare(&inputs, &names)?;
    let predictor = flags.predictor(flags.open.open(&flags.run)?)?;
    let drawing = flags.drawing();
    let drawing = match flags.wants_range_of_all() {
        true => Drawing { depth_range: range_of_all(&predictor, &inputs), ..drawing },
        false => drawing,
    };
    let mut work = Work { predictor: &predictor, flags, drawing, table: Table::default() };
    let counter = Counter::new("photographs", inputs.len());
    for (done, (input, name)) in inputs.iter().zip(&names).enumerate() {
        bad.extend(work.one(input, name)?);
        counter.set(done + 1);
    }
    counter.finish();
    work.table.write(&flags.out)?;
    let all = inputs.len() + found.downloads_failed;
    if bad.len() < all {
        note!("panels: {}", predictor.titles().join(", "));
    }
    match bad.len() {
        0 => Ok(ExitCode::SUCCESS),
        count => bail!("{count} of {all} photographs were left out: {}", bad.join("; ")),
    }
}

struct Work<'a> {
    predictor: &'a Predictor,
    flags: &'a Predict,
    drawing: Drawing,
    table: Table,
}

impl Work<'_> {
    /// What is wrong with the input, if anything is; an error where nothing can be written.
    fn one(&mut self, input: &Input, name: &Path) -> Result<Option<String>> {
        match input.kind {
            Kind::Photograph => match self.predictor.predict(&input.file) {
                Ok(prediction) => self.write(input, &prediction, name).map(|()| None),
                Err(e) => Ok(Some(input.named(&e.to_string()))),
            },
            Kind::Video if self.flags.raw => {
                let reason = "expected photographs with --raw, found a video; \
                              ffmpeg -i VIDEO frames/%06d.png makes some of it";
                Ok(Some(format!("{}: {reason}", input.shown)))
            }
            Kind::Video => {
                create_parent(name)?;
                let picture = with_ending(name, ".mp4");
                let video = Video { predictor: self.predictor, drawing: self.drawing };
                match video.write(input, &picture, &mut self.table) {
                    Ok(()) => say!("{}", picture.display()),
                    Err(e) => return Ok(Some(format!("{}: {e:#}", input.shown))),
                }
                Ok(None)
            }
        }
    }

    fn write(&mut self, input: &Input, prediction: &Prediction, name: &Path) -> Result<()> {
        create_parent(name)?;
        let picture = with_ending(name, ".png");
        let drawn = match self.flags.bare {
            true => self.predictor.panel(prediction, self.drawing),
            false => self.predictor.figure(prediction, self.drawing),
        };
        self.predictor.save_picture(&drawn, &picture)?;
        say!("{}", picture.display());
        for (task, words) in self.predictor.image_level(prediction) {
            say!("  {task}: {words}");
        }
        if self.flags.raw {
            let maps = with_ending(name, ".safetensors");
            self.predictor.save_raw(prediction, &maps)?;
            say!("{}", maps.display());
        }
        self.table.add(&input.shown, None, self.predictor, prediction);
        Ok(())
    }
}

fn create_parent(name: &Path) -> Result<()> {
    let folder = name.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: expected a folder, or a new name", folder.display()))
}

/// The range of the photographs' depths; a video keeps the range of its own first frame where no
/// photograph says anything.
fn range_of_all(predictor: &Predictor, inputs: &[Input]) -> Option<[f32; 2]> {
    let counter = Counter::new("range of depths", inputs.len());
    let mut range = None;
    for (done, input) in inputs.iter().enumerate().filter(|(_, i)| i.kind == Kind::Photograph) {
        // What cannot be read is named when its own turn comes.
        if let Ok(seen) = predictor.predict(&input.file) {
            range = widened(range, predictor, &seen);
        }
        counter.set(done + 1);
    }
    counter.finish();
    range
}

/// Refuses to write a prediction over an input.
fn spare(inputs: &[Input], names: &[PathBuf]) -> Result<()> {
    let originals: Vec<_> = inputs.iter().filter_map(|i| i.file.canonicalize().ok()).collect();
    let written = inputs.iter().zip(names).map(|(i, name)| with_ending(name, i.kind.ending()));
    let meets =
        |picture: &PathBuf| picture.canonicalize().is_ok_and(|file| originals.contains(&file));
    match written.into_iter().find(meets) {
        Some(picture) => bail!(
            "{}: expected to write a new file, found one of the inputs there; name another \
             folder with --out",
            picture.display()
        ),
        None => Ok(()),
    }
}
