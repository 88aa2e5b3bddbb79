//! Parts of a program of its own, and parts that count how often they are called.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod asked;
mod own_method;
mod registered;
mod registered_losses;
mod shared_decoder;
mod sources;
mod unread;
