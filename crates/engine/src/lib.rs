//! How does one run go from recipe to checkpoint, prediction and merged model?
//!
//! The crate where the layers meet: a [`Recipe`] names data, backbone, adapter, heads and losses;
//! a [`Model`] joins them; a [`Trainer`] runs and resumes; [`evaluate`], [`Predictor`], [`merge`] and
//! [`Ledger`] are what one does with the result.

mod balance;
mod checkpoint;
mod conflict;
mod convert;
mod data;
mod data_record;
mod difference;
mod error;
mod evaluate;
mod experts;
mod export;
mod extend;
mod features;
mod figure;
mod heat_map;
mod hub;
mod in_turn;
mod ledger;
mod log;
mod merge;
mod model;
mod panel;
mod predict;
mod recipe;
mod report;
mod run;
mod sheet;
mod task;
mod text;
mod timing;
mod train;
mod trunk;
mod union;
mod weights;

pub use checkpoint::Checkpoint;
pub use conflict::{Conflict, ConflictGroup, MeanConflict};
pub use convert::{Conversion, PROBE_IMAGES, convert};
pub use data::{DataSets, facts, to_tensor, validate_data};
pub use difference::Difference;
pub use error::{Error, Result};
pub use evaluate::{Evaluation, NamedClass, Peak, TaskScores, evaluate, evaluate_watched};
pub use experts::moefy_file;
pub use export::{ExportFormat, ExportReport, export};
pub use heat_map::heat_map;
pub use ledger::{Ledger, LedgerRow, RowBuffer};
pub use log::Baselines;
pub use merge::{MergeReport, merge};
pub use model::Model;
pub use panel::{panel, picture};
pub use polyptych_adapters::{ExpertLayer, KMeansConfig};
pub use polyptych_data::{
    AugmentConfig, Error as DataError, Facts, Histogram, InferredManifest, LabelCount, Mark,
    Orientation, Problem, Root, SplitFacts, TaskFacts, TaskSpec, ValidationReport, infer_manifest,
    shipped_manifest, split_sizes,
};
pub use polyptych_formats::pth::Choice;
pub use polyptych_kernels::torch_version;
pub use polyptych_losses::balancers::{BalancerInfo, BalancerKind, balancers};
pub use polyptych_metrics::ClassScore;
pub use polyptych_synthetic::{CopyContents, write_copy};
pub use polyptych_tensor::memory;
pub use predict::{Prediction, Predictor, image_files, output_names, passed_over};
pub use recipe::{
    BackboneRecipe, Change, CompareRecipe, DataRecipe, ExtendRecipe, OptimiserRecipe, Recipe,
    SourceRecipe, TaskRecipe, TrainRecipe,
};
pub use recipe::{Proposal, closest, propose};
pub use report::{Report, ReportOptions, report};
pub use run::{OpenRun, RunFolder};
pub use sheet::{Sheet, contact_sheet};
pub use task::Task;
pub use timing::{Spread, Timing, time};
pub use train::{Number, Observer, Preparation, StepDump, StepReport, TrainOutcome, Trainer};
pub use union::{UnionRange, UnionRecipe};
pub use weights::{load_backbone, summary};

/// The README's program, compiled and run by the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
