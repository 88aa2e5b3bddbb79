//! What several methods are made of.

pub(crate) mod activation;
pub(crate) mod asked;
pub(crate) mod body;
pub(crate) mod bottleneck;
pub(crate) mod hyper;
pub(crate) mod kronecker;
pub(crate) mod low_rank;
pub(crate) mod parallel;
pub(crate) mod prompts;
pub(crate) mod reweight;
pub(crate) mod scale;
pub(crate) mod slots;
pub(crate) mod sources;
pub(crate) mod svd;
pub(crate) mod targets;
pub(crate) mod tasks;
pub(crate) mod tensors;
pub(crate) mod width;
