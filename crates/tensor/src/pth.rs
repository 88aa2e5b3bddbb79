//! PyTorch's `.pth`, `.pt` and `.bin` files, of which nothing is executed.
//!
//! Such a file is a pickle, a program for Python's unpickler, with raw numbers beside it. The
//! reader follows only the part of the language that makes text, integers, containers and tensors.
//! Whatever else the program asks for, above all a function to call, is refused by its name.
//!
//! Both layouts are read: the zip archive of PyTorch 1.6 and later, and the stream of pickles
//! before it. Sizes that a file claims are compared with the file before memory is asked for.

mod globals;
mod legacy;
mod machine;
mod opcodes;
mod state_dict;
mod storage;
mod value;
mod zipped;

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use tch::Tensor;

use crate::{Error, Result, Tensors};

/// Why a file is not read.
#[derive(Debug)]
enum Fault {
    /// Bytes that are not what the format says.
    Damaged(String),
    /// Something that is neither tensor nor container.
    Foreign(String),
}

type Checked<T> = std::result::Result<T, Fault>;

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

/// Whether the content of the file at `path`, not its name, is a pickle or an archive around one.
pub fn is_pth(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| layout(&mut BufReader::new(file)).is_some())
}

/// Reads the state dict of the file at `path`: tensors on the CPU, in their own types.
///
/// A state dict may lie below keys such as `model` or `state_dict`; a prefix `module.` that all
/// names share is dropped. Entries that are no tensors are passed over.
///
/// # Errors
/// [`Error::Io`]; [`Error::Foreign`] for an opcode or global that is neither tensor nor container;
/// [`Error::Pth`] for a file that is cut off, inconsistent, in big-endian order, TorchScript, or
/// without tensors.
pub fn load(path: &Path) -> Result<Tensors> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    read(BufReader::new(file)).map_err(|fault| fault.at(path))
}

/// Reads a file that is in memory already; `origin` names it in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(origin: &str, content: &[u8]) -> Result<Tensors> {
    read(Cursor::new(content)).map_err(|fault| fault.at(Path::new(origin)))
}

/// The constants of a TorchScript file, in the order of their numbers; its code is not looked at.
///
/// # Errors
/// As [`load`], and constants that are no tensors.
pub(crate) fn constants(path: &Path) -> Result<Vec<Tensor>> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    zipped::read_constants(BufReader::new(file)).map_err(|fault| fault.at(path))
}

enum Layout {
    Zip,
    Legacy,
}

fn read(mut content: impl Read + Seek) -> Checked<Tensors> {
    match layout(&mut content) {
        Some(Layout::Zip) => zipped::read(content),
        Some(Layout::Legacy) => legacy::read(content),
        None => Err("neither a pickle nor an archive with one".into()),
    }
}

/// The layout of `content`, which stands at its start before and after.
fn layout(content: &mut (impl Read + Seek)) -> Option<Layout> {
    let mut start = Vec::new();
    let read = content.by_ref().take(8).read_to_end(&mut start);
    content.rewind().ok()?;
    read.ok()?;
    match start.as_slice() {
        [b'P', b'K', 3, 4, ..] => {
            let found = zipped::has_pickle(&mut *content);
            content.rewind().ok()?;
            found.then_some(Layout::Zip)
        }
        // A safetensors header of 128 + 256 n bytes begins alike, and goes on with zeros.
        [0x80, 2..=5, rest @ ..] if !rest.ends_with(&[0; 4]) => Some(Layout::Legacy),
        _ => None,
    }
}

impl Fault {
    fn at(self, path: &Path) -> Error {
        let path = path.into();
        match self {
            Self::Damaged(reason) => Error::Pth { path, reason },
            Self::Foreign(what) => Error::Foreign { path, what },
        }
    }
}

/// Text of a file as errors show it: one line, and not a long one.
fn shown(text: &str) -> String {
    let escaped: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() { format!("{escaped}...") } else { escaped }
}
