//! PyTorch's `.pth`, `.pt` and `.bin` files, of which nothing is executed.
//!
//! Such a file is a pickle, a program for Python's unpickler, with raw numbers beside it. The
//! reader follows only the part of the language that makes text, integers, containers and tensors.
//! Whatever else the program asks for, above all a function to call, is not done: an inert mark with
//! its name stands there, which is refused where the state dict itself holds it.
//!
//! Both layouts are read: the zip archive of PyTorch 1.6 and later, and the stream of pickles
//! before it. Sizes that a file claims are compared with the file before memory is asked for.

mod calls;
mod choice;
mod fault;
mod global;
mod heap;
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

use polyptych_tensor::Tensors;
use tch::Tensor;

use self::fault::Checked;
use crate::{Error, Result};

pub use self::choice::{Choice, StateDict};

/// Whether the content of the file at `path`, not its name, is a pickle or an archive around one.
pub fn is_pth(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| layout(&mut BufReader::new(file)).is_some())
}

/// Reads the state dict of the file at `path`, see [`load_choice`].
///
/// # Errors
/// As [`load_choice`].
pub fn load(path: &Path) -> Result<Tensors> {
    Ok(load_choice(path, &Choice::default())?.tensors)
}

/// Reads the state dict of the file at `path` that `choice` means.
///
/// It may lie below keys such as `model` or `state_dict`. Whatever lies beside it is passed over,
/// and so are its own entries that are numbers or text. Objects of classes that are not known are
/// never made.
///
/// # Errors
/// [`Error::Io`]; [`Error::Foreign`] for such an object in the state dict itself, and for opcodes
/// that PyTorch does not write; [`Error::Pth`] for a file that is cut off, inconsistent, in
/// big-endian order, TorchScript, or without tensors.
pub fn load_choice(path: &Path, choice: &Choice) -> Result<StateDict> {
    let file = File::open(path).map_err(|source| Error::Io { path: path.into(), source })?;
    read(BufReader::new(file), choice).map_err(|fault| fault.at(path))
}

/// Reads the state dict of a file that is in memory already; `origin` names it in errors.
///
/// # Errors
/// As [`load_choice`].
pub fn parse(origin: &str, content: &[u8]) -> Result<Tensors> {
    let read = read(Cursor::new(content), &Choice::default());
    Ok(read.map_err(|fault| fault.at(Path::new(origin)))?.tensors)
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

fn read(mut content: impl Read + Seek, choice: &Choice) -> Checked<StateDict> {
    match layout(&mut content) {
        Some(Layout::Zip) => zipped::read(content, choice),
        Some(Layout::Legacy) => legacy::read(content, choice),
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
