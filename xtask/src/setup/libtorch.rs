//! Where is LibTorch, and is it whole?
//!
//! Ours lies in the per-user cache and `.libtorch` in the checkout points there;
//! `LIBTORCH` and `LIBTORCH_USE_PYTORCH` of the user win over it and are only checked.

pub(super) mod archive;
pub(super) mod cuda;
pub(crate) mod home;
pub(super) mod link;
pub(super) mod pip;
pub(super) mod platform;
pub(super) mod user;
mod wheel;
pub(super) mod wheels;
