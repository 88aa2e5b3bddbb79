//! What a scope says of the parameters that are made there.

use std::collections::BTreeSet;

/// What a stored tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Trained, when it is in the trainable set.
    Parameter,
    /// Kept and saved but never trained: running means.
    Buffer,
}

/// What a parameter of a backbone is, in the words of methods that train some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterKind {
    /// The bias of a layer, that of a norm included.
    Bias,
    /// Scale or shift of a norm, wherever it stands.
    Norm,
    /// Anything of the patch embedding, its norm included.
    PatchEmbed,
    /// The matrix of patch merging: `downsample.reduction`.
    PatchMerging,
    /// A Swin's table of relative positions.
    RelativePositionBias,
}

/// All that a parameter is: the bias of a norm is [`Bias`](ParameterKind::Bias) and
/// [`Norm`](ParameterKind::Norm).
pub type ParameterKinds = BTreeSet<ParameterKind>;

/// The one task that depends on a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The task.
    pub task: String,
    /// Index of the stage whose level alone depends on the parameter; nothing where later levels do
    /// too.
    pub stage: Option<usize>,
}

/// What a scope says of the parameters that are made there and below.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// Whether they are a method's own, see [`crate::Scope::adapter`].
    pub adapter: bool,
    /// The one task that depends on them, see [`crate::Scope::owned_by`].
    pub owner: Option<Owner>,
    /// What they are, see [`crate::Scope::of_kind`].
    pub kinds: ParameterKinds,
    /// Of which kinds they train whatever the plan says, see [`crate::Scope::training`].
    pub training: ParameterKinds,
}

impl Marks {
    /// Whether the parameters train, those of the backbone's own as `trains` says of their kinds.
    pub(crate) fn trains(&self, trains: impl Fn(&ParameterKinds) -> bool) -> bool {
        self.adapter || !self.kinds.is_disjoint(&self.training) || trains(&self.kinds)
    }
}
