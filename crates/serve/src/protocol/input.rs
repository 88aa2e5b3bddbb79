//! The one tensor that goes in.

/// Its name.
pub(crate) const INPUT: &str = "images";
