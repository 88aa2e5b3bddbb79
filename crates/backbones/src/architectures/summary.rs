//! Architecture, width and depth of a trunk.

use std::fmt;

use polyptych_tensor::Tensors;

/// What tells two trunks apart at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Name for people: `Swin`, `ViT`.
    pub architecture: &'static str,
    /// Channels of the first stage.
    pub embed_dim: i64,
    /// Blocks per stage; a ViT has one stage.
    pub depths: Vec<usize>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architecture, embed_dim, depths } = self;
        write!(f, "a {architecture} of {embed_dim} channels and {depths:?} blocks")
    }
}

/// Channels behind the patch embedding.
pub(super) fn embed_dim(tensors: &Tensors) -> Option<i64> {
    tensors.get("patch_embed.proj.weight")?.size().first().copied()
}

/// Number of consecutive blocks whose tensors have `prefix`, as in `layers.0.`.
pub(super) fn count_blocks(tensors: &Tensors, prefix: &str) -> usize {
    let is_there = |index: &usize| has(tensors, &format!("{prefix}blocks.{index}."));
    (0..).take_while(is_there).count()
}

fn has(tensors: &Tensors, prefix: &str) -> bool {
    let next = tensors.range(prefix.to_owned()..).next();
    next.is_some_and(|(name, _)| name.starts_with(prefix))
}
