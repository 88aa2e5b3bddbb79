//! What people read of a run: curves while it trains, a page when it is done, numbers of parameters,
//! times and pictures.
//!
//! Every line of `metrics.jsonl` also goes to the [`Tracker`](tracker::Tracker), which writes
//! `metrics.csv` and TensorBoard's event files under the same names of [`scalars`](scalars::scalars).

pub(crate) mod build;
pub(crate) mod contact_sheet;
mod csv_log;
pub(crate) mod error_map;
mod extremes;
pub(crate) mod figure;
pub(crate) mod heat_map;
mod page;
pub(crate) mod panel;
pub(crate) mod parameter_summary;
pub(crate) mod provenance;
pub(crate) mod samples;
mod scalars;
mod stored;
pub(crate) mod taken;
mod tensorboard;
pub(crate) mod text;
pub(crate) mod timing;
pub(crate) mod tracker;
