//! What tells Swin V2 from Swin.

/// A version.
#[derive(Debug, Clone, Copy)]
pub(super) enum Design<'a> {
    /// Norms in front of branches, dot products, a table of biases.
    V1,
    /// Norms behind branches, cosines, biases from a network over log-spaced offsets.
    V2 {
        /// Positions along one side of the windows that the network was trained with, per stage; 0
        /// for those that are planned, and so where there is no entry.
        pretrained_window_sizes: &'a [i64],
    },
}

impl Design<'_> {
    /// Whether norms stand behind branches.
    pub(super) fn is_post_norm(self) -> bool {
        matches!(self, Design::V2 { .. })
    }

    /// The window that biases of stage `stage` were trained with, 0 for the planned one; nothing
    /// in the first version.
    pub(super) fn pretrained_window(self, stage: usize) -> Option<i64> {
        match self {
            Design::V1 => None,
            Design::V2 { pretrained_window_sizes } => {
                Some(pretrained_window_sizes.get(stage).copied().unwrap_or(0))
            }
        }
    }
}
