//! Scores against brute force and the peers.
#![allow(clippy::unwrap_used)]

mod brute_force;
mod oracles;
