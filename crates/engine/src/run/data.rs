//! The data sets of a run.

use std::path::Path;
use std::sync::Arc;

use polyptych_data::{
    Cached, Dataset, Facts, Loader, LoaderConfig, PackOptions, PackReport, Root, Subset, TaskSpec,
    Union, ValidationReport, folder_of, pack, require_disjoint,
};
use polyptych_distributed::Ranks;

use crate::run::data_record::DataRecord;
use crate::run::extend;
use crate::{Error, Recipe, ReplayRecipe, Result, SourceRecipe};

/// What a run learns from and is measured on.
pub struct DataSets {
    /// Batches to learn from, shuffled and augmented.
    pub train: Loader,
    /// Batches to measure on, in order and unchanged.
    pub eval: Loader,
    /// The tasks of the recipe, in the order of the task axis.
    pub specs: Vec<TaskSpec>,
    record: DataRecord,
}

impl DataSets {
    /// Opens the data sets of `recipe`.
    ///
    /// # Errors
    /// A data set that cannot be read, or a task of the recipe that neither a data set has nor the
    /// run that it extends.
    pub fn open(recipe: &Recipe) -> Result<Self> {
        Self::open_beside(recipe, &extend::known_specs(recipe)?)
    }

    /// Opens the data sets of `recipe`, whose tasks that do not learn are described by `known`.
    ///
    /// # Errors
    /// As [`DataSets::open`]; a task that the data describe otherwise; an image that is both trained
    /// on and measured on, unless the recipe allows it.
    pub(crate) fn open_beside(recipe: &Recipe, known: &[TaskSpec]) -> Result<Self> {
        let (replay, learns) = (recipe.replay.as_ref(), |task: &str| recipe.learns(task));
        let train = open(recipe, &recipe.data.train, learns, replay)?;
        let eval = Self::open_eval(recipe)?;
        if !recipe.data.allow_overlap {
            require_disjoint(train.as_ref(), eval.dataset().as_ref())?;
        }
        let known = known.iter().filter(|spec| !recipe.learns(&spec.name));
        let specs = specs(recipe, &known.collect::<Vec<_>>(), train.tasks())?;
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
        if train.len() < recipe.data.batch_size {
            tracing::warn!(
                "data.batch_size: {} is more than the {} samples of {}; every batch holds {} of them",
                recipe.data.batch_size,
                train.len(),
                train.name(),
                train.len()
            );
        }
        let record = DataRecord::Sets { train: train.records(), eval: eval.dataset().records() };
        Ok(Self { train: Loader::new(train, config)?, eval, specs, record })
    }

    /// Batches for one of several processes: a part of every one to learn from, and some of those
    /// to measure on, whole, so that an output is what it is in one process.
    /// The threads of a machine are divided among its processes.
    ///
    /// # Errors
    /// Threads that cannot be started.
    pub(crate) fn part_of(self, ranks: &Ranks) -> Result<Self> {
        if !ranks.are_many() {
            return Ok(self);
        }
        let threads = Self::threads_of(ranks.local_size());
        let (rank, size) = (ranks.rank(), ranks.size());
        let train = self.train.part_of_batches(rank, size).with_threads(threads)?;
        let eval = self.eval.some_batches(rank, size).with_threads(threads)?;
        Ok(Self { train, eval, ..self })
    }

    /// Threads that decode images for each of `processes` of a machine.
    pub fn threads_of(processes: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / processes.max(1)).max(1)
    }

    /// The tasks of `recipe` alone: data sets that are not here are known by their manifests.
    ///
    /// # Errors
    /// As [`DataSets::open`]; a manifest that leaves the classes to a folder that is not here.
    pub fn describe(recipe: &Recipe) -> Result<Vec<TaskSpec>> {
        Self::describe_beside(recipe, &extend::known_specs(recipe)?)
    }

    /// The tasks of `recipe` alone, of which `known` describes those that do not learn.
    ///
    /// # Errors
    /// As [`DataSets::describe`].
    pub(crate) fn describe_beside(recipe: &Recipe, known: &[TaskSpec]) -> Result<Vec<TaskSpec>> {
        let known = known.iter().filter(|spec| !recipe.learns(&spec.name)).collect::<Vec<_>>();
        let mut all: Vec<TaskSpec> = Vec::new();
        for source in &recipe.data.train {
            for spec in source.described()? {
                if !all.iter().any(|old| old.name == spec.name) {
                    all.push(spec);
                }
            }
        }
        specs(recipe, &known, &all)
    }

    /// Opens only what the recipe is measured on.
    ///
    /// # Errors
    /// As [`DataSets::open`].
    pub fn open_eval(recipe: &Recipe) -> Result<Loader> {
        let dataset = open(recipe, &recipe.data.eval, |_| true, None)?;
        Ok(Loader::new(dataset, recipe.loader(recipe.data.batch_size))?)
    }
}

impl DataSets {
    /// What the data sets looked like from outside when they were opened; a file that changes under
    /// a run is no reason to refuse the run once it is mended.
    pub(crate) fn record(&self) -> &DataRecord {
        &self.record
    }
}

/// Reads every sample of the data set that `manifest` describes and `root` holds, by default
/// `data/<name of the manifest>`, and tells all that is wrong; [`ValidationReport::of_folder`] says how.
///
/// # Errors
/// A manifest or folder that cannot be read.
pub fn validate_data(
    manifest: &Path,
    root: Option<&Path>,
    follow_links: bool,
    splits: &[String],
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<ValidationReport> {
    let root = Root::new(&folder_of(manifest, root)?, follow_links);
    Ok(ValidationReport::of_folder(manifest, &root, splits, progress)?)
}

/// Reads the same and tells what it holds: numbers, sizes, ranges of values, and which of the
/// known copies it is.
///
/// # Errors
/// A manifest or folder that cannot be read.
pub fn facts(
    manifest: &Path,
    root: Option<&Path>,
    follow_links: bool,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Facts> {
    let root = Root::new(&folder_of(manifest, root)?, follow_links);
    Ok(Facts::of_folder(manifest, &root, progress)?)
}

/// Writes the data set that `manifest` describes to the new folder `out`, as tar shards.
///
/// # Errors
/// As [`pack`].
pub fn pack_data(
    manifest: &Path,
    root: Option<&Path>,
    follow_links: bool,
    out: &Path,
    options: &PackOptions,
    progress: &dyn Fn(&str, usize, usize),
) -> Result<PackReport> {
    let root = Root::new(&folder_of(manifest, root)?, follow_links);
    Ok(pack(manifest, &root, out, options, progress)?)
}

/// The specifications of the recipe's tasks: as they are `known`, or among those of the `data`.
///
/// # Errors
/// A task that is neither, or one that is both and not of one kind with the same classes.
fn specs(recipe: &Recipe, known: &[&TaskSpec], data: &[TaskSpec]) -> Result<Vec<TaskSpec>> {
    let wrong = |name: &str, reason: String| Error::Recipe {
        origin: recipe.name.clone(),
        key: format!("tasks.{name}"),
        reason,
    };
    let find = |name: &String| {
        let new = data.iter().find(|spec| spec.name == *name);
        let old = known.iter().find(|spec| spec.name == *name).copied();
        match (old, new) {
            (Some(old), Some(new)) if (old.kind, &old.classes) != (new.kind, &new.classes) => {
                let reason =
                    "expected the classes that it was trained with, found others in the data";
                Err(wrong(name, reason.into()))
            }
            (None, None) => {
                let names: Vec<&str> = data.iter().map(|spec| spec.name.as_str()).collect();
                let reason = format!("expected one of {}, found {name}", names.join(", "));
                Err(wrong(name, reason))
            }
            (Some(spec), _) | (None, Some(spec)) => Ok(spec.clone()),
        }
    };
    recipe.tasks.keys().map(find).collect()
}

/// Opens `sources` but for those without a label of any task of the recipe that `counts`.
fn open(
    recipe: &Recipe,
    sources: &[SourceRecipe],
    counts: impl Fn(&str) -> bool,
    replay: Option<&ReplayRecipe>,
) -> Result<Arc<dyn Dataset>> {
    let wanted = |task: &str| recipe.tasks.contains_key(task) && counts(task);
    let all = sources.iter().map(|source| source.open(&wanted)).collect::<Result<Vec<_>, _>>()?;
    let useful = |set: &Arc<dyn Dataset>| set.tasks().iter().any(|task| wanted(&task.name));
    let some = all.iter().any(useful);
    // Without any, the refusal names the tasks that there are.
    let mut opened: Vec<_> = all.into_iter().filter(|set| useful(set) || !some).collect();
    if let Some(replay) = replay.filter(|_| some) {
        opened = replayed(recipe, opened, replay, wanted)?;
    }
    let joined: Arc<dyn Dataset> = match <[_; 1]>::try_from(opened) {
        Ok([only]) => only,
        Err(several) => Arc::new(Union::new(several)?),
    };
    Ok(match recipe.data.cache_mib {
        0 => joined,
        mib => Arc::new(Cached::new(joined, mib << 20)),
    })
}

/// `sets` with the samples alone that a replay keeps of those whose tasks that are `wanted` were all
/// learned before.
///
/// # Errors
/// No such set, or one with fewer samples.
fn replayed(
    recipe: &Recipe,
    sets: Vec<Arc<dyn Dataset>>,
    replay: &ReplayRecipe,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Arc<dyn Dataset>>> {
    let wrong = |key: &str, reason: String| Error::Recipe {
        origin: recipe.name.clone(),
        key: key.into(),
        reason,
    };
    let own = |set: &Arc<dyn Dataset>| -> Vec<String> {
        let own = set.tasks().iter().filter(|task| wanted(&task.name));
        own.map(|task| task.name.clone()).collect()
    };
    let is_old = |set: &Arc<dyn Dataset>| own(set).iter().all(|task| replay.tasks.contains(task));
    if !sets.iter().any(&is_old) {
        let all = sets.iter().map(|set| format!("{} ({})", set.name(), own(set).join(", ")));
        let (all, found) = (all.collect::<Vec<_>>().join(", "), replay.tasks.join(", "));
        let reason =
            format!("expected all tasks of a data set of data.train, {all}, found {found}");
        return Err(wrong("replay.tasks", reason));
    }
    let few = |set: Arc<dyn Dataset>| {
        let (len, found) = (set.len(), replay.samples);
        if !is_old(&set) {
            return Ok(set);
        }
        if found > len {
            let all = format!("the {len} samples of {}", set.name());
            let reason = format!("expected at most {all}, found {found}");
            return Err(wrong("replay.samples", reason));
        }
        Ok(Arc::new(Subset::evenly(set, found)) as Arc<dyn Dataset>)
    };
    sets.into_iter().map(few).collect()
}
