//! Copies of data sets as they are made and read.
#![allow(clippy::unwrap_used)]

mod facts;
mod infer;
mod webdataset;
