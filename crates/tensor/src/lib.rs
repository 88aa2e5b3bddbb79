//! How do we compute, name, load and save numbers on LibTorch?
//!
//! The lowest crate: the central type [`Activations`], the seam [`Plan`] between backbones and
//! adapters, named parameters ([`Store`], [`Scope`]), files of tensors, layers, optimisers and
//! schedules. It knows no method and no architecture.

mod activations;
mod checkpoint;
pub mod device;
mod error;
pub mod file;
mod grad_scaler;
mod init;
mod kernels;
mod layers;
mod load;
pub mod memory;
mod onnx;
pub mod optim;
mod plan;
mod precision;
pub mod pth;
mod schedule;
mod scope;
mod script;
mod seed;
mod shim;
#[cfg(test)]
mod testing;

pub use activations::Activations;
pub use checkpoint::checkpoint;
pub use error::{Error, Result};
pub use file::{TensorFile, Tensors};
pub use grad_scaler::GradScaler;
pub use init::Init;
pub use kernels::{
    NARROW_RANK, attention, backward, cross_entropy, cut_windows, gelu, join_windows, linear,
    low_rank_linear, normals_l1, set_gradient, task_hidden, task_low_rank, task_up, upsample,
};
pub use layers::{BatchNorm2d, Conv2d, LayerNorm, Linear, add_branch, cast, dropout};
pub use load::{LoadOptions, LoadReport, Resample, matches};
pub use onnx::Onnx;
pub use plan::{
    Gate, Narrow, NoAdapter, Observed, Owner, Parallel, ParallelOutput, Plain, Plan, Projection,
    Prompts, Pyramid, Site, SiteKind, Tap,
};
pub use precision::Precision;
pub use schedule::Schedule;
pub use scope::{Entry, Role, Scope, Store};
pub use script::{Script, ScriptConfig, Traced};
pub use seed::{scramble, seed_of_step};
pub use shim::torch_version;
pub use tch::{Device, Kind, TchError, Tensor, manual_seed, no_grad, set_num_threads};
