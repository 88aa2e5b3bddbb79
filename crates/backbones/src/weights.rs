//! Values of backbones: reading them from files of any source, and fitting them.

pub mod checkpoint;
pub(crate) mod prefix;
pub mod pretrained;
pub mod resample;
pub mod sources;
