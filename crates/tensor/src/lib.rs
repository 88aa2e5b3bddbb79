//! How do we compute, name and own numbers on LibTorch?
//!
//! The central type [`Activations`], the trait [`Plan`] between backbones and adapters, named
//! parameters ([`Store`], [`Scope`]), layers, optimisers and schedules. It knows no method and no
//! architecture.

mod activations;
mod batch_sum;
mod creation;
pub mod device;
mod error;
mod grad_checkpoint;
mod grad_scaler;
mod init;
mod layers;
mod linear_form;
mod load;
mod marks;
pub mod memory;
pub mod optim;
mod parameter;
mod parts;
mod plain_pass;
mod plan;
mod precision;
mod quantizable;
mod schedule;
mod scope;
mod seed;
mod site;
mod tensors;
#[cfg(test)]
mod testing;

pub use activations::Activations;
pub use batch_sum::BatchSum;
pub use error::{Error, Result};
pub use grad_checkpoint::{CheckpointInput, grad_checkpoint};
pub use grad_scaler::GradScaler;
pub use init::Init;
pub use layers::{BatchNorm2d, Conv2d, LayerNorm, Linear, add_branch, cast, columns, dropout};
pub use linear_form::{Int8, LinearForm};
pub use load::{LoadOptions, LoadReport, Resample, matches};
pub use marks::{Marks, Owner, ParameterKind, ParameterKinds, Role};
pub use parameter::Parameter;
pub use parts::{Gate, Neck, Parallel, ParallelOutput, Prompts, Tap, TaskPrompts, TaskReader};
pub use plain_pass::PlainPass;
pub use plan::{Narrow, NoAdapter, Observed, Plain, Plan, Projection, Pyramid};
pub use polyptych_kernels::{Int8Weight, PackedWeight, QuantizedInput};
pub use precision::Precision;
pub use quantizable::quantizable;
pub use schedule::Schedule;
pub use scope::{Entry, Scope, Store};
pub use seed::{scramble, seed_of_step};
pub use site::{Site, SiteKind};
pub use tch::{
    Device, Kind, TchError, Tensor, get_num_threads, manual_seed, no_grad, set_num_threads,
};
pub use tensors::Tensors;
