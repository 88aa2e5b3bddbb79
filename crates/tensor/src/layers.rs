//! The layers that backbones, adapters and heads are made of.

mod batch_norm;
mod cast;
mod conv;
mod drop;
mod layer_norm;
mod linear;

pub use batch_norm::BatchNorm2d;
pub use cast::cast;
pub use conv::{Conv2d, columns};
pub use drop::{add_branch, dropout};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
