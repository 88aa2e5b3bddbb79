//! One file of weights, of whatever format.

use std::collections::HashMap;
use std::path::Path;

use polyptych_formats::pth::{self, Choice, StateDict};
use polyptych_formats::{TensorFile, file, npz};
use polyptych_tensor::Tensors;

use crate::error::Result;

/// Tensors under the names of the file with its header, and what is reported of their choice.
pub(super) struct Read {
    pub(super) file: TensorFile,
    pub(super) notes: Vec<String>,
    /// What is still to be chosen by the prefixes of names.
    pub(super) left: Choice,
}

pub(super) fn read(path: &Path, choice: &Choice) -> Result<Read> {
    let file = if pth::is_pth(path) {
        return Ok(read_pth(path, choice)?);
    } else if npz::is_npz(path) {
        headless(npz::load(path)?)
    } else {
        file::load(path)?
    };
    Ok(Read { file, notes: Vec::new(), left: choice.clone() })
}

/// A key that the file does not have may be what stands before the names of its state dict.
fn read_pth(path: &Path, choice: &Choice) -> polyptych_formats::Result<Read> {
    let keyless = Choice { key: None, ..choice.clone() };
    let (read, left) = match (pth::load_choice(path, choice), &choice.key) {
        (Ok(read), _) => (read, keyless),
        (Err(e), None) => return Err(e),
        (Err(e), Some(key)) => {
            let found = pth::load_choice(path, &keyless).ok();
            let behind = |found: &StateDict| found.tensors.keys().any(|n| n.starts_with(key));
            (found.filter(behind).ok_or(e)?, choice.clone())
        }
    };
    let mut notes = Vec::new();
    if !read.key.is_empty() {
        notes.push(format!("state dict: `{}`", read.key));
    }
    if !read.others.is_empty() {
        notes.push(format!("others that are not read: `{}`", read.others.join("`, `")));
    }
    Ok(Read { file: headless(read.tensors), notes, left })
}

pub(super) fn headless(tensors: Tensors) -> TensorFile {
    TensorFile { tensors, metadata: HashMap::new() }
}
