//! How wrong is each task, and how much does it count?
//!
//! A [`LossConfig`] is any [`TaskLoss`], which compares one task's raw outputs with its target.
//! Targets are float32; NaN means "no label here", in every task, so a batch may hold labels of
//! some tasks in some images only. [`LossWeights`] adds the tasks up with fixed weights;
//! [`balancers`] weights losses and aggregates gradients by the published methods.
//!
//! Definitions follow MTLoRA (CVPR 2024, arXiv 2403.20320) and its public code. One difference:
//! a task without any label in a batch counts 0 instead of 0 / 0.

pub mod balancers;
mod classes;
mod error;
mod quality_retaining;
mod task;
mod weights;

pub use classes::check_classes;
pub use error::{Error, Result};
pub use quality_retaining::{
    BankForm, ClassRanges, QrLoss, QualityRetaining, QualityRetainingConfig,
};
pub use task::{
    BalancedBce, Contrastive, CrossEntropy, L1, LossConfig, LossValue, MultiLabelBce, NormalsL1,
    TaskLoss, WeightedBce,
};
pub use weights::{DEFAULT_WEIGHTS, LossWeights, default_weight};
