//! What blocks of several architectures are built from.

pub(crate) mod branch;
pub(crate) mod classifier;
pub(crate) mod grad_checkpointing;
pub(crate) mod layer_scope;
pub(crate) mod mlp;
pub(crate) mod neck;
pub(crate) mod patch_embed;
pub(crate) mod prompts;
pub(crate) mod streams;
pub(crate) mod tap;
