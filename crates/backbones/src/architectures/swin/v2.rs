//! Swin V2: norms behind branches, cosines for dot products, and biases that a small network
//! computes of log-spaced offsets, so that they carry over to other windows.
//!
//! Liu et al., "Swin Transformer V2: Scaling Up Capacity and Resolution", arXiv 2111.09883, as timm
//! builds it.

mod architecture;
pub(super) mod attention;
mod config;
mod parameters;
mod variants;

pub use config::SwinV2Config;
