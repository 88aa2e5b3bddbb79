//! A task more for a trained model, which leaves every other task as it is.

use polyptych_tensor::Tensors;

use super::knowledge::{SCOPE, fresh, module};
use crate::error::{Error, Result, config};

/// Gives the trained, unmerged VMT-Adapter in `tensors` a module for `task` wherever other tasks
/// have one; it starts without effect. All other tensors are those of `tensors`.
///
/// To learn the task alone, train what it is the [`owner`](polyptych_tensor::Parameter::owner) of.
///
/// # Errors
/// A task that the model has, a name with dots, tensors without knowledge-extraction modules.
pub fn add_task(tensors: &Tensors, task: &str) -> Result<Tensors> {
    if task.is_empty() || task.contains('.') {
        return Err(config("task", "a name without dots", format!("`{task}`")));
    }
    let mut all: Tensors = Tensors::new();
    let mut modules = 0;
    for (name, tensor) in tensors {
        all.insert(name.clone(), tensor.shallow_clone());
        let Some((path, known, part)) = module(name) else { continue };
        if known == task {
            return Err(config("task", "a task that the model does not have", task));
        }
        modules += 1;
        let new = format!("{path}.{SCOPE}.{task}.{part}");
        all.entry(new).or_insert_with(|| fresh(part, tensor));
    }
    match modules {
        0 => Err(Error::Backbone {
            name: SCOPE.into(),
            expected: "the modules of an unmerged VMT-Adapter".into(),
            found: "none".into(),
        }),
        _ => Ok(all),
    }
}
