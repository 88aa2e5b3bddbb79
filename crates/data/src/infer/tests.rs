//! Folders as people have them, and what is inferred of them.

mod layouts;
mod stored;
