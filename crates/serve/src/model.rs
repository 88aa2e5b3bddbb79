//! What is known of a served model without the model itself, which lives on its own thread.

use std::sync::Arc;

use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::OpenRun;
use serde_json::Value;

use crate::refusal::Refusal;
use crate::{Error, Result, ServeConfig};

/// A model as requests see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    /// Its name in addresses.
    pub(crate) name: String,
    /// Tasks that are served, in the order of the model.
    pub(crate) tasks: Vec<Served>,
    /// What its network reads.
    pub(crate) input: Input,
}

/// One task that is served.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Served {
    pub(crate) spec: TaskSpec,
    /// What its numbers mean, see [`Task::activation`](polyptych_engine::Task::activation).
    pub(crate) activation: Value,
}

/// Images as a network reads them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Input {
    /// Height and width, pixels.
    pub(crate) size: [usize; 2],
    /// Subtracted from values of 0 to 1, per channel.
    pub(crate) mean: [f32; 3],
    /// What they are divided by then.
    pub(crate) std: [f32; 3],
}

/// Positions of tasks in [`Description::tasks`], ascending.
pub(crate) type Selection = Arc<[usize]>;

impl Description {
    /// Tasks that read texts are left out: a question has an image alone.
    ///
    /// # Errors
    /// A task of `config` that the model does not have.
    pub(crate) fn of(run: &OpenRun, config: &ServeConfig) -> Result<Self> {
        let all = run.model.tasks.iter().filter(|task| !task.spec.reads_texts());
        let all: Vec<_> = all.collect();
        let known = || all.iter().map(|task| task.spec.name.clone()).collect::<Vec<_>>();
        let has = |name: &str| all.iter().any(|task| task.spec.name == name);
        if let Some(task) = config.tasks.iter().find(|name| !has(name)) {
            return Err(Error::Task { task: task.clone(), known: known() });
        }
        let served = |name: &String| config.tasks.is_empty() || config.tasks.contains(name);
        let tasks = all.iter().filter(|task| served(&task.spec.name));
        let tasks =
            tasks.map(|task| Served { spec: task.spec.clone(), activation: task.activation() });
        let loader = run.recipe.loader(1);
        let input = Input { size: loader.img_size, mean: loader.mean, std: loader.std };
        let name = config.name.clone().unwrap_or_else(|| run.recipe.name.clone());
        Ok(Self { name, tasks: tasks.collect(), input })
    }

    /// Refuses `new` in the place of this model where it would answer other questions.
    ///
    /// # Errors
    /// The first thing that differs.
    pub(crate) fn require_same(&self, new: &Self) -> Result<()> {
        let names = |model: &Self| {
            model.tasks.iter().map(|task| task.spec.name.clone()).collect::<Vec<_>>().join(", ")
        };
        let differ = |key: &str, expected: String, found: String| match expected == found {
            true => Ok(()),
            false => Err(Error::Swap { key: key.into(), expected, found }),
        };
        differ("tasks", names(self), names(new))?;
        for (old, new) in self.tasks.iter().zip(&new.tasks) {
            let key = format!("tasks.{}", old.spec.name);
            differ(&format!("{key}.kind"), kind(&old.spec), kind(&new.spec))?;
            let classes = |spec: &TaskSpec| spec.classes.join(", ");
            differ(&format!("{key}.classes"), classes(&old.spec), classes(&new.spec))?;
        }
        let input = |model: &Self| format!("{:?}", model.input);
        differ("input", input(self), input(new))
    }

    /// The tasks called `names`; all of them where there are none.
    ///
    /// # Errors
    /// A task that is not served.
    pub(crate) fn select<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Selection, Refusal> {
        let mut chosen = names.map(|name| self.position(name)).collect::<Result<Vec<_>, _>>()?;
        if chosen.is_empty() {
            chosen = (0..self.tasks.len()).collect();
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen.into())
    }

    fn position(&self, name: &str) -> Result<usize, Refusal> {
        let known = || self.tasks.iter().map(|task| task.spec.name.clone()).collect();
        let unknown = || Refusal::UnknownTask { task: name.into(), known: known() };
        self.tasks.iter().position(|task| task.spec.name == name).ok_or_else(unknown)
    }
}

impl Served {
    /// Whether its numbers are indices of classes.
    pub(crate) fn is_index(&self) -> bool {
        matches!(self.spec.kind, TaskKind::Semseg | TaskKind::HumanParts)
    }

    /// Channels of its map: 3 for normals, classes for whole images, else 1.
    pub(crate) fn channels(&self) -> usize {
        match self.spec.kind {
            TaskKind::Semseg | TaskKind::HumanParts => 1,
            _ => self.spec.num_outputs(),
        }
    }
}

/// The kind as manifests call it.
pub(crate) fn kind(spec: &TaskSpec) -> String {
    match serde_json::to_value(spec.kind) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn description() -> Description {
        let task = |name: &str, kind, classes: &[&str]| Served {
            spec: TaskSpec {
                name: name.into(),
                kind,
                classes: classes.iter().map(|&class| class.into()).collect(),
                palette: vec![],
                flip_pairs: vec![],
            },
            activation: Value::Null,
        };
        Description {
            name: "toy".into(),
            tasks: vec![
                task("semseg", TaskKind::Semseg, &["sky", "ground"]),
                task("depth", TaskKind::Depth, &[]),
                task("scene", TaskKind::Classification, &["street", "room"]),
            ],
            input: Input { size: [2, 2], mean: [0.0; 3], std: [1.0; 3] },
        }
    }

    #[test]
    fn tasks_are_chosen_by_name_in_the_order_of_the_model() {
        let model = description();
        assert_eq!(*model.select(["depth", "semseg", "depth"].into_iter()).unwrap(), [0, 1]);
        assert_eq!(*model.select([].into_iter()).unwrap(), [0, 1, 2]);
        let refusal = model.select(["dpeth"].into_iter()).unwrap_err();
        assert!(refusal.to_string().ends_with("did you mean `depth`?"), "{refusal}");
    }

    #[test]
    fn a_model_with_other_answers_is_refused() {
        let old = description();
        old.require_same(&old.clone()).unwrap();
        let mut new = description();
        new.tasks[0].spec.classes.push("thing".into());
        let message = old.require_same(&new).unwrap_err().to_string();
        assert_eq!(
            message,
            "tasks.semseg.classes: expected sky, ground as in the model that is served, found sky, \
             ground, thing"
        );
        new = description();
        new.tasks.pop();
        assert!(old.require_same(&new).unwrap_err().to_string().starts_with("tasks: expected"));
        new = description();
        new.input.size = [4, 2];
        assert!(old.require_same(&new).unwrap_err().to_string().starts_with("input: expected"));
    }
}
