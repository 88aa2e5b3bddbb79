//! What a plan puts among a backbone's own layers: gates, paths, prompts and a neck.

use std::fmt::Debug;

use tch::Tensor;

use crate::Activations;

/// What scales the hidden units of an MLP, between its first matrix and its activation.
pub trait Gate: Debug {
    /// Scales `hidden`, `[.., hidden_features]`, by what it reads in `x`, `[.., in_features]`: the
    /// output and the input of `mlp.fc1`.
    ///
    /// Outside of training the gate may note what it saw, for [`Plan::observed`].
    ///
    /// [`Plan::observed`]: crate::Plan::observed
    fn forward(&self, x: &Activations, hidden: &Activations, train: bool) -> Activations;
}

/// A path parallel to the MLP of a block.
pub trait Parallel: Debug {
    /// What the path makes of `residual`, the stream that the block's MLP branches from, and of
    /// `normed`, the same behind the second norm, which the MLP reads; `[.., dim]` both.
    fn forward(&self, residual: &Activations, normed: &Activations, train: bool) -> ParallelOutput;

    /// How the streams of tasks leave the trunk behind this block; nothing if they do not.
    fn tap(&self) -> Option<Tap> {
        None
    }
}

/// What stands between the levels of a backbone and the heads.
pub trait Neck: Debug {
    /// From all levels, the finest first, to what heads read in their place, of the same shapes.
    fn forward(&self, levels: Vec<Activations>, train: bool) -> Vec<Activations>;
}

/// Trainable tokens that join those of an image in front of a block.
///
/// They attend and are attended to like the image's, and are dropped before any head reads.
pub trait Prompts: Debug {
    /// `[batch, prompts, dim]`, in place of what the block before made of its own prompts; where
    /// tasks have prompts of their own, `batch` is that of the first task, then of the second, ...
    fn forward(&self, batch: i64, train: bool) -> Tensor;

    /// As [`Prompts::forward`], where prompts depend on the tokens that they join, `[batch, tokens, dim]`.
    fn forward_among(&self, tokens: &Tensor, train: bool) -> Tensor {
        self.forward(tokens.size()[0], train)
    }

    /// How many tasks have prompts of their own, and so streams from here on; nothing where prompts
    /// are everybody's.
    fn tasks(&self) -> Option<i64> {
        None
    }
}

/// Tokens of tasks that pass through the blocks beside an image's, one for each task.
///
/// Every window of a block attends together with a copy of them. They have the block's norms and
/// matrices, as far as these serve all tasks, and a residual of their own around both branches:
/// `p + mlp(norm2(proj(mean of what attention made of the copies)))`.
pub trait TaskPrompts: Debug {
    /// The tokens in front of the block, `[batch, tasks, dim]`; `before` are those that the block
    /// before left, nothing in front of the first.
    fn enter(&self, before: Option<Tensor>, batch: i64) -> Tensor;

    /// What parts tasks in this block; nothing where all streams are shared.
    fn reader(&self) -> Option<&dyn TaskReader>;

    /// Whether another block follows, which tokens go on to.
    fn goes_on(&self) -> bool;
}

/// What tasks read of an image by the attention of their prompts to it.
pub trait TaskReader: Debug {
    /// From `attended`, `[windows, rows, columns, dim]`, what attention made of the image's tokens,
    /// and `logits`, `[tasks, windows, rows, columns, heads]`, the products of each prompt's query
    /// and each token's key without a scale: the streams that `attn.proj` reads, and what
    /// [`TaskReader::leave`] gets; `[tasks, windows, rows, columns, dim]` both.
    fn read(&self, attended: &Tensor, logits: &Tensor) -> [Tensor; 2];

    /// The streams that leave the block, of `z`, those behind its MLP, and of what was kept,
    /// `[tasks, batch, height, width, dim]`.
    fn leave(&self, z: Activations, kept: &Tensor) -> Activations;
}

/// What a path parallel to an MLP makes.
#[derive(Debug)]
pub struct ParallelOutput {
    /// Joins what flows on to the next block; stochastic depth does not touch it.
    pub added: Activations,
    /// `[tasks, batch, .., dim]`: the tasks' own terms. They never enter the next block: within a
    /// stage they are summed up to its tap and leave there.
    pub aside: Option<Tensor>,
}

/// What the heads of a task read at a tap: the trunk `z` behind the tap's block and the sum `a` of
/// the task's terms in the stage so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// `z + a`.
    Sum,
    /// `z` and `a` one behind the other, twice as wide as the trunk.
    Concat,
}
