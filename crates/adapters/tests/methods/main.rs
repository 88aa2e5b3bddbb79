//! Methods: what holds for all of them, and the oracles of each.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod backbones;
mod cases;
mod counts;
mod emtal_mlp;
mod fame_vil;
mod hyper;
mod invariants;
mod mtlora_linear;
mod mtlora_streams;
mod peft;
mod peft_files;
mod tadformer;
mod vmt;
mod vmt_training;
mod vpt;
