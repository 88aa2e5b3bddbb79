//! How wrong is each task, and how are tasks weighed?
//!
//! A [`LossConfig`] makes a [`TaskLoss`], which compares one task's raw outputs with its target.
//! Targets are float32; NaN means "no label here", in every task, so a batch may hold labels of
//! some tasks in some images only. [`LossWeights`] adds the tasks up with fixed weights;
//! [`balancers`] weighs losses and combines gradients by the published methods.
//!
//! Definitions follow MTLoRA (CVPR 2024, arXiv 2403.20320) and its public code. One difference:
//! a task without any label in a batch counts 0 instead of 0 / 0.

pub mod balancers;
mod binary;
mod class_ranges;
mod classes;
mod config;
mod cross_entropy;
mod error;
mod l1;
mod multi_label;
mod normals;
mod pair;
mod quality_retaining;
mod task_loss;
#[cfg(test)]
mod testing;
mod weights;

pub use binary::{BalancedBce, WeightedBce};
pub use class_ranges::ClassRanges;
pub use classes::check_classes;
pub use config::LossConfig;
pub use cross_entropy::CrossEntropy;
pub use error::{Error, Result};
pub use l1::L1;
pub use multi_label::MultiLabelBce;
pub use normals::NormalsL1;
pub use quality_retaining::{BankForm, QrLoss, QualityRetaining, QualityRetainingConfig};
pub use task_loss::{LossValue, TaskLoss};
pub use weights::{DEFAULT_WEIGHTS, LossWeights, default_weight};
