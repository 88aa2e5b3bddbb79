//! How does one run go from recipe to checkpoint, prediction and merged model?
//!
//! The crate where the layers meet: a [`Recipe`] names data, backbone, adapter, heads and losses;
//! a [`Model`] joins them; a [`Trainer`] runs and resumes; [`evaluate`], [`Predictor`], [`merge`] and
//! [`ParameterSummary`] are what one does with the result.

mod error;
mod export;
mod model;
mod recipe;
mod reference;
mod report;
mod run;
mod staged;
mod training;
mod transfer;

pub use error::{Error, Result};
pub use export::convert::{Conversion, PROBE_IMAGES, convert};
pub use export::delta::{DeltaFile, DeltaReport, merge_delta, save_deltas};
pub use export::difference::Difference;
pub use export::merge::{MergeReport, merge};
pub use export::prune::{Cost, PruneReport, prune};
pub use export::quantize::{QuantizeOptions, quantize};
pub use export::subject::ExportReport;
pub use export::{ExportFormat, export};
pub use model::Model;
pub use model::activate::activate_at;
pub use model::experts::moefy_file;
pub use model::inputs::{Inputs, Texts};
pub use model::joint_labels::UnionRange;
pub use model::load_summary::summary;
pub use model::task::Task;
pub use model::weights::load_backbone;
pub use polyptych_adapters::{ExpertLayer, KMeansConfig};
pub use polyptych_data::{
    AugmentConfig, Dataset, Error as DataError, Facts, Histogram, InferredManifest, LabelCount,
    Mark, Orientation, PackOptions, PackReport, PackedSplit, Problem, Root, SkippedPolygons,
    SplitFacts, TaskFacts, TaskSpec, ValidationReport, infer_manifest, manifest_schema,
    shipped_manifest, split_sizes, tls_config,
};
pub use polyptych_distributed::{
    Backend, Environment, Error as RankError, KeyStore, Ranks, Result as RankResult,
};
pub use polyptych_formats::pth::Choice;
pub use polyptych_kernels::{CPU_VARIABLE, Instructions, library_folder, torch_version};
pub use polyptych_losses::balancers::{BalancerInfo, BalancerKind, balancers};
pub use polyptych_metrics::ClassScore;
pub use polyptych_synthetic::{CopyContents, write_copy};
pub use polyptych_tensor::memory;
pub use recipe::change::Change;
pub use recipe::config::{BackboneRecipe, DataRecipe, Recipe, TaskRecipe};
pub use recipe::optimiser::OptimiserRecipe;
pub use recipe::problems::closest;
pub use recipe::propose::{Proposal, propose};
pub use recipe::row::CompareRecipe;
pub use recipe::runs::{
    ComposeRecipe, DistilRecipe, ExtendRecipe, ReplayRecipe, StageRecipe, StageResult,
};
pub use recipe::source::SourceRecipe;
pub use recipe::text::TextRecipe;
pub use recipe::train::TrainRecipe;
pub use recipe::tune::TuneRecipe;
pub use recipe::union::UnionRecipe;
pub use reference::backbones::BackboneInfo;
pub use reference::explain::Explained;
pub use reference::keys::Key;
pub use reference::metrics::MetricInfo;
pub use reference::parts::PartInfo;
pub use reference::values::Choice as KeyChoice;
pub use reference::{Reference, recipe_schema, reference};
pub use report::build::{Report, ReportOptions, report};
pub use report::contact_sheet::{ContactSheet, contact_sheet};
pub use report::heat_map::heat_map;
pub use report::panel::{panel, picture};
pub use report::parameter_summary::{ParameterGroup, ParameterSummary, TaskGradientBuffer};
pub use report::taken::Taken;
pub use report::timing::{Spread, Timing, time};
pub use run::RunFolder;
pub use run::checkpoint::Checkpoint;
pub use run::data::{DataSets, facts, pack_data, validate_data};
pub use run::evaluate::{Evaluation, NamedClass, TaskScores, Watch, evaluate, evaluate_watched};
pub use run::open_run::OpenRun;
pub use run::peak::Peak;
pub use run::predict::{Drawing, ImageFiles, Prediction, Predictor, output_names};
pub use run::quantized::{ActivationRange, QuantizeReport, QuantizedLayer, QuantizedTask};
pub use run::upload::to_tensor;
pub use staged::{OpenStage, StagedRun};
pub use training::conflict::{Conflict, ConflictGroup, MeanConflict};
pub use training::log::{Baselines, SamplePicture};
pub use training::{
    Number, Observer, Preparation, RankReport, StepDump, StepReport, TrainOutcome, Trainer,
};
pub use transfer::{StageRow, StageTable};

/// The README's program, compiled and run by the tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
