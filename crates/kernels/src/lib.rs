//! Which operations does LibTorch lack, and how are they computed on this processor?
//!
//! The only C++ and the only `unsafe` code of the workspace. Operations that LibTorch has in
//! pieces are one here, and keep only what their backward pass needs; each has a plain form, which
//! it falls back to where the fast one does not fit: another device, another type, or a trace.

mod error;
mod operations;
mod recompute;
mod shim;
#[cfg(test)]
mod testing;

use std::path::Path;

pub use error::{Error, Result};
pub use operations::{
    BatchNorm, NARROW_RANK, add_branch, attention, backward, batch_norm_relu, cross_entropy,
    cut_windows, dropout, forget_gradients, gelu, join_windows, joint_norm, keep_memory,
    layer_norm, linear, linear_gelu, live_storages, low_rank_linear, normals_l1, scale_all,
    set_gradient, task_hidden, task_low_rank, task_up, upsample,
};
pub use recompute::recompute;
pub use shim::{AdamWStep, SgdStep, adamw_step, open_library, sgd_step, torch_version};

/// The folder of LibTorch's libraries that this program was built with.
pub fn library_folder() -> &'static Path {
    Path::new(env!("LIBTORCH_LIB_DIR"))
}
