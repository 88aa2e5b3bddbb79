//! How long a forward pass takes, before and after merging.

use std::time::Instant;

use polyptych_adapters::Form;
use polyptych_tensor::{Kind, LoadOptions, Tensor, no_grad};
use serde::Serialize;

use crate::{Error, Model, OpenRun, Result};

/// Passes before the first that counts.
const WARM_UP: usize = 3;

/// Milliseconds of one forward pass over a batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the passes took less.
    pub median: f64,
    /// A quarter of the passes took less.
    pub low: f64,
    /// A quarter of the passes took more.
    pub high: f64,
}

/// What [`time`] measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// Images in the batch.
    pub images: usize,
    /// Passes of each form, that alternate.
    pub passes: usize,
    /// The model as it was trained.
    pub adapted_ms: Spread,
    /// The merged model, where it can be merged.
    #[serde(rename = "folded_ms")]
    pub merged_ms: Option<Spread>,
}

/// Times forward passes over `images` random images, alternating between the two forms of the model, so that
/// whatever else the machine does falls on both.
///
/// # Errors
/// A merged model, of which one form is left, or numbers of images or passes that are 0.
pub fn time(run: &OpenRun, images: usize, passes: usize) -> Result<Timing> {
    if run.form == Form::Merged {
        let reason = "expected a trained run, found a merged model".into();
        return Err(Error::Run { path: run.folder.path().into(), reason });
    }
    at_least_one("time", images, passes)?;
    let merged = run.model.unmergeable().is_none().then(|| merged(run)).transpose()?;
    let models: Vec<&Model> = [Some(&run.model), merged.as_ref()].into_iter().flatten().collect();
    let mut spreads = alternate(&models, &batch(run, images), passes)?.into_iter();
    let adapted_ms = spreads.next().expect("there is a trained model");
    Ok(Timing { images, passes, adapted_ms, merged_ms: spreads.next() })
}

/// Refuses to time nothing; `command` asks.
pub(crate) fn at_least_one(command: &str, images: usize, passes: usize) -> Result<()> {
    for (key, value) in [("images", images), ("passes", passes)] {
        if value == 0 {
            let (key, reason) = (key.into(), "expected at least 1, found 0".into());
            return Err(Error::Recipe { origin: command.into(), key, reason });
        }
    }
    Ok(())
}

fn merged(run: &OpenRun) -> Result<Model> {
    let (recipe, specs) = (&run.recipe, run.folder.specs()?);
    let model = Model::new(recipe, &specs, Form::Merged, run.model.store.device())?;
    model.store.load("merged model", &run.model.merged()?, &LoadOptions::default())?;
    Ok(model)
}

/// Random images of the size of the recipe.
pub(crate) fn batch(run: &OpenRun, images: usize) -> Tensor {
    let [height, width] = run.recipe.data.img_size.map(|extent| extent as i64);
    let options = (Kind::Float, run.model.store.device());
    Tensor::randn([images as i64, 3, height, width], options)
}

/// Times passes of `models` over `images`, one model after the other in every pass.
pub(crate) fn alternate(models: &[&Model], images: &Tensor, passes: usize) -> Result<Vec<Spread>> {
    let mut times = vec![Vec::with_capacity(passes); models.len()];
    for pass in 0..WARM_UP + passes {
        for (model, times) in models.iter().zip(&mut times) {
            let started = Instant::now();
            let outputs = no_grad(|| model.forward(images, false))?;
            // Reading a number waits for a device that works on its own.
            let _ = outputs[0].sum(Kind::Float).double_value(&[]);
            if pass >= WARM_UP {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(times.into_iter().map(spread).collect())
}

fn spread(mut times: Vec<f64>) -> Spread {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    Spread { median: at(0.5), low: at(0.25), high: at(0.75) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_quartiles() {
        let times = (0..=100).rev().map(f64::from).collect();
        assert_eq!(spread(times), Spread { median: 50.0, low: 25.0, high: 75.0 });
        assert_eq!(spread(vec![2.0]), Spread { median: 2.0, low: 2.0, high: 2.0 });
    }
}
