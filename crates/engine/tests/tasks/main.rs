//! Tasks beside each other: balancers, heads, copies, spaces of labels, and what recipes may ask of them.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod balance;
mod parameter_summary;
mod per_task;
mod published;
mod refusals;
mod retrieval;
mod union;
