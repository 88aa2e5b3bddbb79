//! How do several processes train as one? Their places, their process group, and who is missing.
//!
//! The group is PyTorch's own: c10d's `TCPStore` and `ProcessGroupGloo`. Processes are started as
//! PyTorch's are, by `torchrun`, by SLURM, or by anything that sets `RANK` and its like.
//! [`Ranks`] is one process or many: code that works with it is the same for both.

mod backend;
mod buckets;
mod environment;
mod error;
mod gradient_buckets;
mod gradient_sums;
mod group;
mod heartbeat;
mod ranks;
mod read;
mod roll_call;
mod slurm;
mod traffic;
mod variables;

pub use backend::Backend;
pub use environment::Environment;
pub use error::{Error, Result};
pub use gradient_buckets::GradientBuckets;
pub use polyptych_kernels::{KeyStore, ReduceOp};
pub use ranks::Ranks;
pub use traffic::Traffic;
