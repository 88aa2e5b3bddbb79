//! The models that a run trains later: of the stages behind its first, and of its closing rows.

use std::path::Path;

use polyptych_adapters::Form;
use polyptych_data::TaskSpec;
use polyptych_distributed::Ranks;
use polyptych_tensor::Device;

use crate::recipe::compare::check_names;
use crate::training::ranks::ByRank;
use crate::{DataSets, Error, Model, Recipe, Result};

impl Recipe {
    /// Makes each model that a run of this recipe in the folder `run` trains later, on the CPU and
    /// with random values, and lets it go: what does not fit is known before the first step.
    ///
    /// The tasks of a row that trains them alone are alike but for their heads, which the recipe's
    /// own model has; the first stands for all.
    ///
    /// One of several processes does it for all.
    ///
    /// # Errors
    /// As [`Model::new`], with the name of the stage or row; a row whose name no folder can have.
    pub fn check_later(&self, ranks: &Ranks, run: &Path) -> Result<()> {
        ranks.heard(if ranks.is_first() { self.make_later(run) } else { Ok(()) })
    }

    fn make_later(&self, run: &Path) -> Result<()> {
        check_names(self)?;
        check_stages(self, run, 1)?;
        for row in self.compare.iter().filter(|row| row.closing) {
            let check = || {
                let other = self.compared(row)?.0;
                if other.data != self.data {
                    DataSets::open(&other)?;
                }
                match other.task_names().get(..1).filter(|_| row.separate) {
                    Some(first) => check_whole(&other.of_tasks(first)?, run),
                    None => check_whole(&other, run),
                }
            };
            check().map_err(within(format!("row {}", row.name)))?;
        }
        Ok(())
    }
}

fn check_whole(recipe: &Recipe, run: &Path) -> Result<()> {
    match recipe.stage.is_empty() {
        true => make(recipe, &DataSets::describe(recipe)?),
        false => check_stages(recipe, run, 0),
    }
}

/// Makes the models of the stages from `first` on.
fn check_stages(recipe: &Recipe, run: &Path, first: usize) -> Result<()> {
    // A stage that extends an earlier one learns its tasks from it, whose folder is not there yet.
    let mut known: Vec<TaskSpec> = Vec::new();
    for (index, stage) in recipe.stage.iter().enumerate() {
        let own = recipe.of_stage(index, run)?;
        let check = || {
            let specs = specs(&own, &known, own.data == recipe.data)?;
            if index >= first {
                make(&own, &specs)?;
            }
            Ok(specs)
        };
        let specs = check().map_err(within(format!("stage {}", stage.name)))?;
        let is_new = |spec: &TaskSpec| known.iter().all(|old| old.name != spec.name);
        let new: Vec<TaskSpec> = specs.into_iter().filter(is_new).collect();
        known.extend(new);
    }
    Ok(())
}

/// The tasks of `recipe`, whose data are opened where no other stage opens them alike.
fn specs(recipe: &Recipe, known: &[TaskSpec], is_opened: bool) -> Result<Vec<TaskSpec>> {
    match is_opened && recipe.replay.is_none() {
        true => DataSets::describe_beside(recipe, known),
        false => Ok(DataSets::open_beside(recipe, known)?.specs),
    }
}

fn make(recipe: &Recipe, specs: &[TaskSpec]) -> Result<()> {
    Model::new(recipe, specs, Form::Adapted, Device::Cpu).map(drop)
}

fn within(part: String) -> impl FnOnce(Error) -> Error {
    |source| Error::Later { part, source: Box::new(source) }
}
