//! How does one run go from recipe to checkpoint, prediction and merged model?
//!
//! The crate where the layers meet: a [`Recipe`] names data, backbone, adapter, heads and losses;
//! a [`Model`] joins them; a [`Trainer`] runs and resumes; [`evaluate`], [`Predictor`], [`merge`] and
//! [`Ledger`] are what one does with the result.

mod checkpoint;
mod data;
mod error;
mod evaluate;
mod ledger;
mod log;
mod merge;
mod model;
mod panel;
mod predict;
mod recipe;
mod run;
mod task;
mod train;
mod weights;

pub use checkpoint::Checkpoint;
pub use data::{DataSets, to_tensor};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, TaskScores, evaluate};
pub use ledger::{Ledger, LedgerRow};
pub use log::Baselines;
pub use merge::{MergeReport, merge};
pub use model::Model;
pub use panel::{panel, picture};
pub use polyptych_tensor::torch_version;
pub use predict::{Prediction, Predictor, image_files};
pub use recipe::{
    BackboneRecipe, DataRecipe, OptimiserRecipe, Recipe, SourceRecipe, TaskRecipe, TrainRecipe,
};
pub use run::{OpenRun, RunFolder};
pub use task::Task;
pub use train::{Observer, StepReport, TrainOutcome, Trainer};
pub use weights::load_backbone;

/// The README's program, compiled and run by the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
