//! Predictions beside the labels of a data set.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use polyptych_engine::{DataSets, Dataset, Drawing, Predictor};

use super::depth_range::widened;
use super::flags::Predict;
use super::place::with_ending;
use super::table::Table;
use crate::output::{note, say};
use crate::progress::Counter;

pub(super) fn run(flags: &Predict) -> Result<ExitCode> {
    let run = flags.open.open(&flags.run)?;
    let data = &flags.samples;
    let recipe = run.recipe.clone().measured_on(
        data.manifest.as_deref(),
        data.root.as_deref(),
        data.split.as_deref(),
    )?;
    let loader = DataSets::open_eval(&recipe)?;
    let dataset = loader.dataset().as_ref();
    let count = data.samples.min(dataset.len());
    if count == 0 {
        bail!("--samples: expected 1 or more, found {}", data.samples);
    }
    let indices: Vec<usize> = (0..count).map(|k| k * dataset.len() / count).collect();
    let predictor = flags.predictor(run)?;
    let drawing = match flags.wants_range_of_all() {
        true => {
            Drawing { depth_range: range_of_all(&predictor, dataset, &indices)?, ..flags.drawing() }
        }
        false => flags.drawing(),
    };
    std::fs::create_dir_all(&flags.out)
        .with_context(|| format!("{}: expected a folder, or a new name", flags.out.display()))?;
    let mut table = Table::default();
    let counter = Counter::new("samples", count);
    for (done, &index) in indices.iter().enumerate() {
        one(flags, &predictor, dataset, index, drawing, &mut table)?;
        counter.set(done + 1);
    }
    counter.finish();
    table.write(&flags.out)?;
    note!("rows: truth, prediction, error; panels: {}", predictor.titles().join(", "));
    Ok(ExitCode::SUCCESS)
}

fn one(
    flags: &Predict,
    predictor: &Predictor,
    dataset: &dyn Dataset,
    index: usize,
    drawing: Drawing,
    table: &mut Table,
) -> Result<()> {
    let sample = dataset.get(index)?;
    let prediction = predictor.predict_image(sample.image.clone())?;
    // Names of samples may be paths, and two data sets may have one name twice.
    let stem = format!("{index:06}_{}", sample.name.replace(['/', '\\'], "_"));
    let name = flags.out.join(stem);
    let picture = with_ending(&name, ".png");
    let drawn = match flags.bare {
        true => predictor.panel(&prediction, drawing),
        false => predictor.figure_with_truth(&prediction, &sample, drawing),
    };
    predictor.save_picture(&drawn, &picture)?;
    say!("{}", picture.display());
    if flags.raw {
        let maps = with_ending(&name, ".safetensors");
        predictor.save_raw(&prediction, &maps)?;
        say!("{}", maps.display());
    }
    table.add(&sample.name, None, predictor, &prediction);
    Ok(())
}

fn range_of_all(
    predictor: &Predictor,
    dataset: &dyn Dataset,
    indices: &[usize],
) -> Result<Option<[f32; 2]>> {
    let mut range = None;
    for &index in indices {
        let seen = predictor.predict_image(dataset.get(index)?.image)?;
        range = widened(range, predictor, &seen);
    }
    Ok(range)
}
