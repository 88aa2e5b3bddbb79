//! Optimisers whose whole state can be seen, saved and restored.

mod adamw;
mod adatask;
mod clip;
mod group;
mod optimiser;
mod sgd;
mod slots;

pub use adamw::{AdamW, AdamWConfig};
pub use adatask::{AdaTask, AdaTaskConfig};
pub use clip::{clip_factor, clip_grad_norm};
pub use group::{Group, decay_groups, scale_groups};
pub use optimiser::{Optimiser, TaskGradients};
pub use sgd::{Sgd, SgdConfig};
