//! The tasks of a model, as recipe and data say.

use polyptych_data::TaskSpec;
use polyptych_tensor::Tensor;

use crate::model::joint_labels;
use crate::{Recipe, Result, Task, UnionRange};

/// The tasks of `recipe` in the order of `specs`, with their places in the union of labels.
///
/// # Errors
/// A loss that does not fit its task, or a union that the data do not allow.
pub(crate) fn tasks(recipe: &Recipe, specs: &[TaskSpec]) -> Result<Vec<Task>> {
    let join = |spec: &TaskSpec| Task::new(spec.clone(), recipe.tasks[&spec.name].clone());
    let mut tasks = specs.iter().map(join).collect::<Result<Vec<_>>>()?;
    if let Some(ranges) = joint_labels::ranges(recipe, specs)? {
        let num_classes = ranges.num_classes();
        for (index, (_, own)) in joint_labels::joined(&ranges, specs).into_iter().zip(ranges.iter())
        {
            tasks[index].union = Some(UnionRange { own, num_classes });
        }
    }
    Ok(tasks)
}

/// What readers of predictions and metrics expect of `raw`, the outputs of `tasks`; tasks of a union
/// read the logits of all of its classes.
pub(crate) fn activate(tasks: &[Task], raw: &[Tensor]) -> Vec<Tensor> {
    let is_joined = |index: &usize| tasks[*index].union.is_some();
    let joined: Vec<usize> = (0..tasks.len()).filter(is_joined).collect();
    let union = (!joined.is_empty()).then(|| joint_labels::logits(raw, &joined));
    let one = |(task, raw): (&Task, &Tensor)| match (&task.union, &union) {
        (Some(_), Some(logits)) => task.activate(logits),
        _ => task.activate(raw),
    };
    tasks.iter().zip(raw).map(one).collect()
}
