//! The shapes of Swin-T and of MTLoRA in it.

use polyptych_benches::Subject;
use polyptych_tensor::Kind;

/// Positions of a side of a window.
pub(crate) const WINDOW: i64 = 7;
/// Rank of the factors that all tasks share.
pub(crate) const R: i64 = 64;
/// Rank of a task's own factors.
pub(crate) const R_TASK: i64 = 4;
/// Dropout in front of the factors.
pub(crate) const DROPOUT: f64 = 0.05;
/// Stochastic depth: the mean of the rates of blocks, which rise from 0.
pub(crate) const DROP_PATH: f64 = 0.1;

/// One stage of the backbone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stage {
    /// Positions of a side of the map.
    pub(crate) side: i64,
    /// Numbers of a position.
    pub(crate) dim: i64,
    /// Heads of attention.
    pub(crate) heads: i64,
    /// Blocks, the last of which has factors of tasks.
    pub(crate) depth: i64,
    /// Rows of a batch: images times positions.
    pub(crate) rows: i64,
}

/// The network at one size.
pub(crate) struct Swin {
    pub(crate) stages: [Stage; 4],
    pub(crate) batch: i64,
    pub(crate) tasks: i64,
    pub(crate) size: i64,
    /// Type of activations.
    pub(crate) kind: Kind,
    /// Bytes of a number of it.
    pub(crate) bytes: i64,
}

impl Swin {
    pub(crate) fn new(subject: &Subject) -> Self {
        let Subject { batch, size, .. } = *subject;
        let stage = |(index, heads, depth): (u32, i64, i64)| {
            let (side, dim) = (size / 4 / 2i64.pow(index), 96 * 2i64.pow(index));
            Stage { side, dim, heads, depth, rows: batch * side * side }
        };
        let stages = [(0, 3, 2), (1, 6, 2), (2, 12, 6), (3, 24, 2)].map(stage);
        let kind = subject.precision.kind();
        let bytes = kind.elt_size_in_bytes() as i64;
        Self { stages, batch, tasks: subject.tasks as i64, size, kind, bytes }
    }

    /// What heads read, finest first: side and numbers of a position. The last level is not
    /// merged.
    pub(crate) fn levels(&self) -> [[i64; 2]; 4] {
        let last = self.stages[3];
        let merged = |next: usize| [self.stages[next].side, self.stages[next].dim];
        [merged(1), merged(2), merged(3), [last.side, last.dim]]
    }
}

impl Stage {
    /// Inputs and outputs of the adapted maps of a block: `qkv`, `proj`, `fc1`, `fc2`.
    pub(crate) fn maps(&self) -> [[i64; 2]; 4] {
        let d = self.dim;
        [[d, 3 * d], [d, d], [d, 4 * d], [4 * d, d]]
    }

    /// Windows of a batch, and of an image.
    pub(crate) fn windows(&self) -> [i64; 2] {
        let image = (self.side / WINDOW).pow(2);
        [self.rows / (WINDOW * WINDOW), image]
    }

    /// Blocks whose windows are shifted: every second one, where there is more than one window.
    pub(crate) fn shifted(&self) -> i64 {
        if self.side > WINDOW { self.depth / 2 } else { 0 }
    }
}
