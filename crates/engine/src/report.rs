//! What a run tells people: curves while it trains, and a page when it is done.
//!
//! Every line of `metrics.jsonl` also goes to the [`Tracker`](tracker::Tracker), which writes
//! `metrics.csv` and TensorBoard's event files under the same names of [`scalars`](scalars::scalars).

mod build;
mod csv_log;
mod extremes;
mod page;
mod provenance;
mod samples;
mod scalars;
mod stored;
mod tensorboard;
mod tracker;

pub use build::{Report, ReportOptions, report};
pub(crate) use provenance::Call;
pub(crate) use samples::{SamplePicker, photograph};
pub(crate) use tracker::Tracker;
