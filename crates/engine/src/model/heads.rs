//! The heads of a model.

use polyptych_backbones::Backbone;
use polyptych_heads::{Head, HeadInput, upsample};
use polyptych_tensor::{Store, Tensor};

use crate::Result;
use crate::model::task::Task;

/// One head for every task, in the order of the task axis.
#[derive(Debug, Default)]
pub(crate) struct Heads(Vec<TaskHead>);

#[derive(Debug)]
struct TaskHead {
    head: Box<dyn Head>,
    /// Whether it makes maps, which get the size of the image.
    is_dense: bool,
}

impl Heads {
    /// Builds the head of the next task, behind `backbone`, in `store`.
    ///
    /// # Errors
    /// A head that does not fit.
    pub(crate) fn push(
        &mut self,
        store: &Store,
        backbone: &dyn Backbone,
        task: &Task,
    ) -> Result<()> {
        let chans: Vec<i64> = backbone.feature_info().iter().map(|info| info.num_chs).collect();
        let scope = store.root().pp("heads").pp(&task.spec.name);
        let outputs = task.spec.num_outputs() as i64;
        let head = task.recipe.head.init(&scope, &chans, backbone.num_features(), outputs)?;
        self.0.push(TaskHead { head, is_dense: task.spec.is_dense() });
        Ok(())
    }

    /// What the head of the task at `index` makes of `input`: `[batch, outputs, height, width]` for
    /// an image of `size`, or `[batch, outputs]`.
    ///
    /// # Errors
    /// A head that fails.
    pub(crate) fn output(
        &self,
        index: usize,
        input: &HeadInput,
        size: [i64; 2],
        train: bool,
    ) -> Result<Tensor> {
        let TaskHead { head, is_dense } = &self.0[index];
        let raw = head.forward(input, train)?;
        Ok(if *is_dense { upsample(&raw, size)? } else { raw })
    }
}

/// Where the parameters of the head of `task` lie, with a dot behind.
pub(crate) fn prefix(task: &Task) -> String {
    format!("heads.{}.", task.spec.name)
}
