//! What turns features into one task's output?
//!
//! A [`HeadConfig`] makes a [`Head`], which reads what a backbone hands out for one task, a
//! [`HeadInput`], and gives raw numbers: logits, depths or unnormalised normals. Dense heads give
//! a map of the finest level's size; [`upsample`] brings it to the size of the image.

mod config;
mod error;
mod fuse;
mod head;
mod hrnet;
mod linear;
mod segformer;
#[cfg(test)]
mod testing;
mod upsample;

pub use config::HeadConfig;
pub use error::{Error, Result};
pub use head::{Head, HeadInput};
pub use hrnet::HrnetConfig;
pub use linear::LinearConfig;
pub use segformer::SegformerConfig;
pub use upsample::upsample;
