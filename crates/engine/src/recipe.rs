//! A run as a file: every choice of data, tasks, method and training, without hidden defaults.

pub(crate) mod balancer;
mod beside_text;
pub(crate) mod change;
pub(crate) mod compare;
mod compose;
pub(crate) mod config;
mod distil;
mod extend;
mod measured_on;
mod numbers;
pub(crate) mod optimiser;
mod parse;
mod per_task;
pub(crate) mod problems;
pub(crate) mod propose;
mod replay;
pub(crate) mod row;
pub(crate) mod runs;
mod shared_decoder;
pub(crate) mod source;
mod stage;
pub(crate) mod text;
pub(crate) mod train;
pub(crate) mod tune;
pub(crate) mod union;
mod validate;
