//! The program as its users start it.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod data_sets;
mod export;
#[cfg(unix)]
mod faults;
#[cfg(target_os = "linux")]
mod memory;
mod other_data;
mod predictions;
mod processes;
mod python;
mod quantize;
mod recipes;
mod refusals;
mod report;
mod tutorials;
