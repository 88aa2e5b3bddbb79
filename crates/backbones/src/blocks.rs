//! What blocks of several architectures are built from.

pub(crate) mod act_layer;
pub(crate) mod branch;
pub(crate) mod classifier;
pub(crate) mod combine;
pub(crate) mod cross_attention;
pub(crate) mod grad_checkpointing;
pub(crate) mod layer_scope;
pub(crate) mod mlp;
pub(crate) mod neck;
pub(crate) mod patch_embed;
pub(crate) mod plain_stages;
pub(crate) mod plain_trunk;
pub(crate) mod pooling;
pub(crate) mod prompts;
pub(crate) mod split_bias;
pub(crate) mod streams;
pub(crate) mod swiglu;
pub(crate) mod tap;
pub(crate) mod token_embed;
