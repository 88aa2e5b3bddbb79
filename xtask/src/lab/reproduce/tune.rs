//! `--tune`: a learning rate, and what a row names, for every method of a recipe, by successive
//! halving on seeds and samples that the table does not use.
//!
//! Several processes share the work by the file system: a trial belongs to the process that holds
//! its lock, and what is done is a file. A process without work waits for the others' rounds.

pub(super) mod choice;
mod page;
mod place;
pub(super) mod settings;
mod share;
mod trial;

pub(super) use page::{Tuning, section};
pub(super) use share::Share;
