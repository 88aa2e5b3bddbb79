//! Runs from their start to their end: what they begin with, go on with and leave.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod before_training;
mod compose;
mod continual;
mod deltas;
mod distil;
mod downsample_label_ratio;
mod extend;
mod fp16;
mod from_run;
mod label_sets;
mod merge;
mod packed;
mod penalty;
mod predicted;
mod prune;
mod resume;
mod stages;
mod tensorboard;
