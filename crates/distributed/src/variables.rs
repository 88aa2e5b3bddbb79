//! Variables of the environment, as numbers and texts.

use crate::{Error, Result};

/// Reads a variable of the environment.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// PyTorch's name for the interfaces of Gloo.
pub(crate) fn interfaces(lookup: Lookup) -> String {
    lookup("GLOO_SOCKET_IFNAME").unwrap_or_default()
}

/// The text of `name`.
///
/// # Errors
/// A variable that is absent or empty.
pub(crate) fn text(lookup: Lookup, name: &str) -> Result<String> {
    lookup(name).filter(|value| !value.is_empty()).ok_or_else(|| absent(name))
}

/// The number of `name`.
///
/// # Errors
/// A variable that is absent or no such number.
pub(crate) fn required<T: std::str::FromStr>(lookup: Lookup, name: &str) -> Result<T> {
    optional(lookup, name)?.ok_or_else(|| absent(name))
}

/// The number of `name`, where it is set.
///
/// # Errors
/// Something else than such a number.
pub(crate) fn optional<T: std::str::FromStr>(lookup: Lookup, name: &str) -> Result<Option<T>> {
    let Some(found) = lookup(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let number = found.parse().map(Some);
    number.map_err(|_| variable(name, "a number of its range", found))
}

fn absent(name: &str) -> Error {
    let expected = "a value, since others of RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are set";
    variable(name, expected, "none".into())
}

/// What is wrong with the variable `name`.
pub(crate) fn variable(name: &str, expected: &str, found: String) -> Error {
    Error::Variable { name: name.into(), expected: expected.into(), found }
}
