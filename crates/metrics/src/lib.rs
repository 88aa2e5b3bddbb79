//! How good is each task, in the numbers the field publishes?
//!
//! Every measure implements [`Metric`]: it is fed one image at a time, prediction and target as
//! `[channels, height, width]`, and computes its scores over everything it has seen.
//! A `NaN` in the target says that this pixel carries no label; it never counts.
//! The first score is the headline number, the one that [`delta_m`] compares.
//!
//! | task | metric | headline |
//! |---|---|---|
//! | semantic segmentation, human parts | [`SemsegIou`] | `miou` |
//! | saliency | [`Saliency`] | `miou` |
//! | surface normals | [`Normals`] | `mean_angle_deg` |
//! | depth | [`Depth`] | `rmse_m` |
//! | edges | [`Edges`] | `ods_f` |
//! | classification | [`TopK`] | `top1` |
//! | tags | [`MeanAveragePrecision`] | `map` |
//! | images and texts | [`Retrieval`] | `i2t_r1` |
//! | images and modifying texts | [`Retrieval`] | `r1` |
//!
//! ```
//! use ndarray::array;
//! use polyptych_metrics::{Metric, SemsegIou};
//!
//! let mut metric = SemsegIou::new(2)?;
//! let prediction = array![[[0.0, 1.0], [1.0, 1.0]]];
//! let target = array![[[0.0, 1.0], [0.0, f32::NAN]]];
//! metric.update(prediction.view(), target.view())?;
//! let scores = metric.compute()?;
//! assert_eq!((scores[0].name, scores[0].value), ("miou", 50.0));
//! # Ok::<(), polyptych_metrics::MetricError>(())
//! ```
//!
//! The crate knows neither LibTorch nor the rest of the workspace.

mod check;
mod delta;
mod depth;
mod details;
mod edges;
mod error;
mod exact_sum;
mod mean_average_precision;
mod metric;
mod normals;
mod retrieval;
mod saliency;
mod seen;
mod semseg;
mod top_k;

pub use delta::{Baseline, DeltaM, DeltaTerm, delta_m};
pub use depth::Depth;
pub use details::{Details, ErrorHistogram, PrecisionRecall};
pub use edges::{Edges, EdgesConfig};
pub use error::{MetricError, Result};
pub use exact_sum::ExactSum;
pub use mean_average_precision::MeanAveragePrecision;
pub use metric::{ClassScore, Metric, Score};
pub use normals::Normals;
pub use retrieval::Retrieval;
pub use saliency::Saliency;
pub use seen::{Seen, SeenMut};
pub use semseg::SemsegIou;
pub use top_k::TopK;
