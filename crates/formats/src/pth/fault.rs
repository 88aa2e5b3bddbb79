//! Why a file is not read.

use std::path::Path;

use crate::Error;

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Fault {
    /// Bytes that are not what the format says.
    Damaged(String),
    /// Something that is neither tensor nor container.
    Foreign(String),
}

pub(super) type Checked<T> = std::result::Result<T, Fault>;

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Damaged(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self::Damaged(reason.into())
    }
}

impl From<std::io::Error> for Fault {
    fn from(cause: std::io::Error) -> Self {
        match cause.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Damaged("it is cut off".into()),
            _ => Self::Damaged(cause.to_string()),
        }
    }
}

impl From<tch::TchError> for Fault {
    fn from(cause: tch::TchError) -> Self {
        Self::Damaged(cause.to_string().lines().next().unwrap_or("").into())
    }
}

impl Fault {
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.into();
        match self {
            Self::Damaged(reason) => Error::Pth { path, reason },
            Self::Foreign(what) => Error::Foreign { path, what },
        }
    }
}

/// Text of a file as errors show it: one line, and not a long one.
pub(super) fn shown(text: &str) -> String {
    let escaped: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() { format!("{escaped}...") } else { escaped }
}
