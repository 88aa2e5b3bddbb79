//! `cargo xtask dist`: what users install without Rust. An archive with program and libraries, a
//! Python wheel, their parts list and their hashes.

pub(crate) mod command;
mod libraries;
mod packages;
mod tarball;
mod wheel;
