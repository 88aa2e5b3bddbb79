//! The data sets of a run, and the way of their arrays into tensors.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array, Dimension};
use polyptych_data::{Cached, Dataset, Loader, LoaderConfig, Survey, TaskSpec, Union};
use polyptych_tensor::{Device, Tensor};

use crate::recipe::folder_of;
use crate::{Error, Recipe, Result, SourceRecipe};

/// What a run learns from and is measured on.
pub struct DataSets {
    /// Batches to learn from, shuffled and augmented.
    pub train: Loader,
    /// Batches to measure on, in order and unchanged.
    pub eval: Loader,
    /// The tasks of the recipe, in the order of the task axis.
    pub specs: Vec<TaskSpec>,
}

impl DataSets {
    /// Opens the data sets of `recipe`.
    ///
    /// # Errors
    /// A data set that cannot be read, or a task of the recipe that no data set has.
    pub fn open(recipe: &Recipe) -> Result<Self> {
        let train = open(recipe, &recipe.data.train)?;
        let eval = Self::open_eval(recipe)?;
        let specs = specs(recipe, train.tasks())?;
        let config = LoaderConfig {
            seed: recipe.seed,
            shuffle: true,
            sampling: recipe.data.sampling,
            drop_last: train.len() >= recipe.data.batch_size,
            augment: recipe.data.augment.clone(),
            on_bad_sample: recipe.data.on_bad_sample,
            prefetch: recipe.data.prefetch,
            ..recipe.loader(recipe.data.batch_size)
        };
        Ok(Self { train: Loader::new(train, config)?, eval, specs })
    }

    /// Opens only what the recipe is measured on.
    ///
    /// # Errors
    /// As [`DataSets::open`].
    pub fn open_eval(recipe: &Recipe) -> Result<Loader> {
        let dataset = open(recipe, &recipe.data.eval)?;
        Ok(Loader::new(dataset, recipe.loader(recipe.data.batch_size))?)
    }
}

/// Reads every sample of the data set that `manifest` describes and `root` holds, by default
/// `data/<name of the manifest>`, and tells all that is wrong; [`Survey::of_folder`] says how.
///
/// # Errors
/// A manifest or folder that cannot be read.
pub fn survey(
    manifest: &Path,
    root: Option<&Path>,
    splits: &[String],
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Survey> {
    let root = folder_of(manifest, root)?;
    Ok(Survey::of_folder(manifest, &root, splits, progress)?)
}

/// The specifications of the recipe's tasks among `known`.
///
/// # Errors
/// A task that is not known.
pub(crate) fn specs(recipe: &Recipe, known: &[TaskSpec]) -> Result<Vec<TaskSpec>> {
    let find = |name: &String| {
        known.iter().find(|spec| spec.name == *name).cloned().ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|spec| spec.name.as_str()).collect();
            Error::Recipe {
                origin: recipe.name.clone(),
                key: format!("tasks.{name}"),
                reason: format!("expected one of {}, found {name}", names.join(", ")),
            }
        })
    };
    recipe.tasks.keys().map(find).collect()
}

/// Opens `sources` but for those without a label of any task of the recipe.
fn open(recipe: &Recipe, sources: &[SourceRecipe]) -> Result<Arc<dyn Dataset>> {
    let all = sources.iter().map(SourceRecipe::open).collect::<Result<Vec<_>>>()?;
    let wanted = |task: &TaskSpec| recipe.tasks.contains_key(&task.name);
    let useful = |set: &Arc<dyn Dataset>| set.tasks().iter().any(wanted);
    let some = all.iter().any(useful);
    // Without any, the refusal names the tasks that there are.
    let opened: Vec<_> = all.into_iter().filter(|set| useful(set) || !some).collect();
    let joined: Arc<dyn Dataset> = match <[_; 1]>::try_from(opened) {
        Ok([only]) => only,
        Err(several) => Arc::new(Union::new(several)?),
    };
    Ok(match recipe.data.cache_mib {
        0 => joined,
        mib => Arc::new(Cached::new(joined, mib << 20)),
    })
}

/// A float32 tensor of the same shape on `device`.
pub fn to_tensor<D: Dimension>(array: &Array<f32, D>, device: Device) -> Tensor {
    let shape: Vec<i64> = array.shape().iter().map(|&extent| extent as i64).collect();
    let standard = array.as_standard_layout();
    let values = standard.as_slice().expect("standard layout is one slice");
    Tensor::from_slice(values).view(shape.as_slice()).to_device(device)
}
