//! Folders as people have them, and what is inferred of them.

#![allow(clippy::unwrap_used)]

mod layouts;
