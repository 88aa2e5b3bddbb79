//! What stands before the tensors of every file that we write.

use std::collections::HashMap;

use polyptych_backbones::ROUNDED_UP;

/// The header of weights that we write: PyTorch's layout, Swins planned by rounding up.
pub(crate) fn header() -> HashMap<String, String> {
    let entries = [("format", "pt"), ROUNDED_UP];
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}
