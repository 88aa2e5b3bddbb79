//! A run as a file: every choice of data, tasks, method and training, without hidden defaults.

pub(crate) mod balancer;
pub(crate) mod change;
mod compare;
pub(crate) mod config;
mod extend;
mod measured_on;
mod numbers;
pub(crate) mod optimiser;
mod parse;
mod per_task;
pub(crate) mod problems;
pub(crate) mod propose;
pub(crate) mod source;
pub(crate) mod union;
mod validate;
