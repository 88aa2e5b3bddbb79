//! The layout of PyTorch 1.6 and later: a zip archive of `NAME/data.pkl` and `NAME/data/KEY`,
//! stored without compression.
//!
//! Members are looked up by their names in the archive; nothing is unpacked to a disk.

use std::io::{Read, Seek};

use tch::Tensor;
use zip::{CompressionMethod, ZipArchive};

use super::choice::{Choice, StateDict};
use super::fault::{Checked, Fault, shown};
use super::value::StorageRef;
use super::{machine, storage};

const PICKLE: &str = "data.pkl";
/// Tensors of TorchScript's that lie beside its code.
const CONSTANTS: &str = "constants";

/// Whether `content` is an archive around a pickle.
pub(super) fn has_pickle(content: impl Read + Seek) -> bool {
    ZipArchive::new(content).is_ok_and(|archive| folder(&archive).is_some())
}

/// Reads an archive.
pub(super) fn read(content: impl Read + Seek, choice: &Choice) -> Checked<StateDict> {
    let mut archive = ZipArchive::new(content).map_err(|e| e.to_string())?;
    let folder = folder(&archive).ok_or_else(|| format!("no {PICKLE}"))?;
    if archive.index_for_name(&format!("{folder}/{CONSTANTS}.pkl")).is_some() {
        return Err(Fault::Foreign("TorchScript, a program".into()));
    }
    let order = format!("{folder}/byteorder");
    if archive.index_for_name(&order).is_some() && member(&mut archive, &order, 16)? != b"little" {
        return Err("byte order: expected little".into());
    }
    let pickle = format!("{folder}/{PICKLE}");
    let bytes = member(&mut archive, &pickle, machine::MAX_BYTES)?;
    let pickle = machine::run(&mut bytes.as_slice())?;
    let folder = format!("{folder}/data");
    storage::state_dict(&pickle, choice, |storage| numbers(&mut archive, &folder, storage))
}

/// Reads the constants of TorchScript's archive, in the order of their numbers.
pub(super) fn read_constants(content: impl Read + Seek) -> Checked<Vec<Tensor>> {
    let mut archive = ZipArchive::new(content).map_err(|e| e.to_string())?;
    let folder = folder(&archive).ok_or_else(|| format!("no {PICKLE}"))?;
    let bytes = member(&mut archive, &format!("{folder}/{CONSTANTS}.pkl"), machine::MAX_BYTES)?;
    let pickle = machine::run(&mut bytes.as_slice())?;
    let folder = format!("{folder}/{CONSTANTS}");
    storage::loaded(&pickle.all_tensors()?, |storage| numbers(&mut archive, &folder, storage))
}

/// The folder of the pickle.
fn folder<R: Read + Seek>(archive: &ZipArchive<R>) -> Option<String> {
    let mut names = archive.file_names().filter_map(|name| name.split_once('/'));
    names.find(|(_, file)| *file == PICKLE).map(|(folder, _)| folder.to_owned())
}

fn numbers<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    folder: &str,
    storage: &StorageRef,
) -> Checked<Vec<u8>> {
    let name = format!("{folder}/{}", storage.key);
    if archive.index_for_name(&name).is_none() {
        return Err(format!("{}: no such member", shown(&name)).into());
    }
    member(archive, &name, storage.bytes()?)
}

/// The bytes of a member, which may have at most `limit`.
///
/// Only stored members are read: memory then follows the file's own size.
fn member<R: Read + Seek>(archive: &mut ZipArchive<R>, name: &str, limit: u64) -> Checked<Vec<u8>> {
    let wrong = |reason: String| Fault::Damaged(format!("{}: {reason}", shown(name)));
    let file = archive.by_name(name).map_err(|e| wrong(e.to_string()))?;
    if file.compression() != CompressionMethod::Stored {
        return Err(wrong(format!("expected it stored, found it {}", file.compression())));
    }
    if file.size() > limit {
        return Err(wrong(format!("expected at most {limit} bytes, found {}", file.size())));
    }
    let size = file.size();
    let mut bytes = Vec::new();
    // To the end, so that the checksum is compared.
    file.take(size.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?;
    Ok(bytes)
}
