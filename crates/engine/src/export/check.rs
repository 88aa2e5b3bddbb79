//! Refuses outputs that are too far from those that they should be.

use super::difference::{Difference, TOLERANCE};
use crate::{Error, Result};

/// # Errors
/// [`Error::Merge`], with the name `key`, where the difference is too large.
pub(crate) fn check(found: Difference, key: &str) -> Result<()> {
    match found.is_too_large() {
        false => Ok(()),
        true => Err(Error::Merge { key: key.into(), tolerance: TOLERANCE, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_both_sides() {
        assert!(check(Difference { largest: 0.5, of: 1e4 }, "depth").is_ok());
        let message = check(Difference { largest: 0.5, of: 1.0 }, "depth").unwrap_err().to_string();
        assert_eq!(
            message,
            "depth: expected the merged model within 1e-4 of the largest output, found a \
             difference of 5.0e-1 of 1.00"
        );
    }
}
