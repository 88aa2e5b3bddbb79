//! Which operations does LibTorch lack, and how are they computed on this processor?
//!
//! The only C++ and the only `unsafe` code of the workspace. Operations that LibTorch has in
//! pieces are one here, and keep only what their backward pass needs; each has a plain form, which
//! it falls back to where the fast one does not fit: another device, another type, or a trace.

mod attention;
mod bridge;
mod counting_device;
mod cpu;
mod error;
mod gradient_buckets;
mod gradients;
mod int8;
mod layers;
mod losses;
mod nccl;
mod optimisers;
mod packed;
mod process_group;
mod products;
mod recompute;
mod repeat;
mod runtime;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transfers;

pub use attention::{attention, cut_windows, join_windows};
pub use counting_device::{open_counting_device, take_transfers};
pub use cpu::{Bytes, Instructions, Product, ProductShape, VARIABLE as CPU_VARIABLE};
pub use error::{Error, Result};
pub use gradient_buckets::{GradientBuckets, GradientGroup};
pub use gradients::{
    backward, forget_gradients, joint_norm, scale_all, scale_all_on_device, set_gradient,
};
pub use int8::{Int8Weight, QuantizedInput};
pub use layers::{
    BatchNorm, add_branch, batch_norm_relu, dropout, filter_planes, fused_head, gelu, layer_norm,
    upsample,
};
pub use losses::{cross_entropy, normals_l1};
pub use nccl::NcclGroup;
pub use optimisers::{AdamWStep, SgdStep, adamw_step, sgd_step};
pub use packed::PackedWeight;
pub use process_group::{KeyStore, ProcessGroup, ReduceOp};
pub use products::{
    LowRankPlan, LowRankShape, NARROW_RANK, linear, linear_gelu, low_rank_linear,
    low_rank_linear_by, task_hidden, task_low_rank, task_up,
};
pub use recompute::recompute;
pub use runtime::{keep_memory, library_folder, live_storages, open_library, torch_version};
pub use transfers::{peak_device_bytes, round_nothing_to_tf32, upload};
