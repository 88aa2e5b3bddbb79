//! Which tasks read which trunk.

use std::ops::Range;

use polyptych_data::TaskSpec;

use crate::Recipe;

/// The tasks that read a trunk.
#[derive(Debug, Clone)]
pub(crate) struct Readers<'s> {
    /// All tasks of the model, in the order of the task axis.
    pub(crate) specs: &'s [TaskSpec],
    /// Those that read this trunk.
    pub(crate) tasks: Range<usize>,
}

impl<'s> Readers<'s> {
    pub(super) fn own(&self) -> &'s [TaskSpec] {
        &self.specs[self.tasks.clone()]
    }

    /// Those that are about whole images.
    pub(super) fn image_level(&self) -> Vec<String> {
        let whole = self.own().iter().filter(|spec| !spec.is_dense());
        whole.map(|spec| spec.name.clone()).collect()
    }
}

/// The tasks of each trunk of `recipe`, as positions on the task axis.
pub(crate) fn shares(recipe: &Recipe, num_tasks: usize) -> Vec<Range<usize>> {
    match recipe.backbone.per_task {
        true => (0..num_tasks).map(|task| task..task + 1).collect(),
        false => std::iter::once(0..num_tasks).collect(),
    }
}
