//! Checks of settings.

use crate::{Error, Result};

/// Checks one field of a configuration.
pub(crate) fn expect(holds: bool, key: &str, expected: &'static str, found: f64) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::Config { key: key.to_owned(), expected, found: found.to_string() })
}

/// Checks a field that must be a finite number above 0.
pub(crate) fn expect_positive(key: &str, found: f64) -> Result<()> {
    expect(found.is_finite() && found > 0.0, key, "a finite number above 0", found)
}

/// Checks a field that must be a finite number of 0 or more.
pub(crate) fn expect_not_negative(key: &str, found: f64) -> Result<()> {
    expect(found.is_finite() && found >= 0.0, key, "a finite number of 0 or more", found)
}

/// Checks a field that must be a fraction of 1, both ends allowed.
pub(crate) fn expect_fraction(key: &str, found: f64) -> Result<()> {
    expect((0.0..=1.0).contains(&found), key, "a number from 0 to 1", found)
}
