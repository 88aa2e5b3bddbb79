//! Keys of a manifest that are wrong, and the errors that say so.

use toml::Value;

use crate::{Error, Result};

/// Longest value that is shown in full.
const SHOWN: usize = 60;

/// A key: its path, what it should be and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) key: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl FieldError {
    pub(crate) fn new(
        key: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self { key: key.into(), expected: expected.into(), found: found.to_string() }
    }
}

/// The error of all that is wrong, if something is.
pub(super) fn refuse(origin: &str, wrong: Vec<FieldError>) -> Result<()> {
    let mut errors = wrong.into_iter().map(|w| refused(origin, &w.key, w.expected, w.found));
    match (errors.next(), errors.next()) {
        (None, _) => Ok(()),
        (Some(only), None) => Err(only),
        (Some(first), Some(second)) => {
            let fields = [first, second].into_iter().chain(errors).collect();
            Err(Error::Fields { origin: origin.to_owned(), fields })
        }
    }
}

/// The error of a wrong field.
pub(crate) fn refused(
    origin: &str,
    key: &str,
    expected: impl Into<String>,
    found: impl ToString,
) -> Error {
    let (origin, key, expected) = (origin.to_owned(), key.to_owned(), expected.into());
    Error::Config { origin, key, expected, found: found.to_string() }
}

/// A value as errors tell it.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string().replace('\n', " ");
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}
