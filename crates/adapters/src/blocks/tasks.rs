//! What every method with parameters per task asks of the list of tasks.

use crate::error::{Result, config};

/// Checks that there are tasks, and that each stands once.
///
/// # Errors
/// No task, or the first that stands twice.
pub(crate) fn check_tasks(tasks: &[String]) -> Result<()> {
    if tasks.is_empty() {
        return Err(config("tasks", "at least one task", "none"));
    }
    let twice = |(index, task): &(usize, &String)| tasks[..*index].contains(task);
    match tasks.iter().enumerate().find(twice) {
        Some((_, task)) => Err(config("tasks", "every task once", format!("{task} twice"))),
        None => Ok(()),
    }
}
