//! Architectures beside their peers, and what holds for all of them.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod behaviour;
mod oracles;
mod param_counts;
mod patch_sizes;
mod peers;
mod registers;
mod sizes;
mod streams;
mod text;
mod timm;
