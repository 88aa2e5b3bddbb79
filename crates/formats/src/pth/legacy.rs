//! The layout before PyTorch 1.6: a stream of pickles, then the storages one after the other.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use super::choice::{Choice, StateDict};
use super::fault::{Checked, Fault, shown};
use super::value::{Pickle, StorageRef, Value};
use super::{machine, storage};

/// The pickle of the integer 0x1950a86a20f9469cfc6c, and that of the version 1001.
const START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.";

/// Where the numbers of each storage begin, by its key.
type Places = HashMap<String, u64>;

/// Reads a stream.
pub(super) fn read(mut content: impl Read + Seek, choice: &Choice) -> Checked<StateDict> {
    let mut start = Vec::new();
    content.by_ref().take(START.len() as u64).read_to_end(&mut start)?;
    if start != START {
        return explain(content);
    }
    // What machine wrote the file: little-endian in all files that there are.
    machine::run(&mut content)?;
    let pickle = machine::run(&mut content)?;
    let keys = machine::run(&mut content)?;
    let places = places(&mut content, &pickle, &keys)?;
    storage::state_dict(&pickle, choice, |storage| numbers(&mut content, &places, storage))
}

/// A pickle that PyTorch did not write; what it holds says best what it is.
fn explain(mut content: impl Read + Seek) -> Checked<StateDict> {
    content.rewind()?;
    let pickle = machine::run(&mut content)?;
    if let Some(class) = pickle.class_of(pickle.root) {
        return Err(Fault::Foreign(class));
    }
    Err("a pickle without PyTorch's first numbers".into())
}

fn places(content: &mut (impl Read + Seek), pickle: &Pickle, keys: &Pickle) -> Checked<Places> {
    let mut at = content.stream_position()?;
    let end = content.seek(SeekFrom::End(0))?;
    let known: HashMap<&str, &StorageRef> =
        pickle.storages.iter().map(|storage| (storage.key.as_str(), &**storage)).collect();
    let mut places = Places::new();
    for key in self::keys(keys)? {
        let storage = known.get(key).ok_or_else(|| format!("storage {}: no such", shown(key)))?;
        let bytes = checked(content, at, end, storage)?;
        places.insert(key.to_owned(), at + 8);
        at += 8 + bytes;
    }
    Ok(places)
}

fn keys(pickle: &Pickle) -> Checked<Vec<&str>> {
    let Value::List(keys) = &pickle.values[pickle.root] else {
        return Err("expected a list of storages, found something else".into());
    };
    let key = |&place: &usize| match &pickle.values[place] {
        Value::Text(text) => Ok(text.as_str()),
        _ => Err(Fault::Damaged("a storage without a name".into())),
    };
    keys.iter().map(key).collect()
}

/// Bytes of the storage at `at`, which must lie before `end`.
fn checked(
    content: &mut (impl Read + Seek),
    at: u64,
    end: u64,
    storage: &StorageRef,
) -> Checked<u64> {
    let mut len = [0; 8];
    content.seek(SeekFrom::Start(at))?;
    content.read_exact(&mut len)?;
    let (key, len, wanted) = (&storage.key, u64::from_le_bytes(len), storage.len);
    if len != wanted {
        return Err(format!("storage {key}: expected {wanted} numbers, found {len}").into());
    }
    let (bytes, left) = (storage.bytes()?, end - (at + 8));
    let fits = bytes <= left;
    let cut = || format!("storage {key}: expected {bytes} bytes, {left} are left");
    Ok(fits.then_some(bytes).ok_or_else(cut)?)
}

fn numbers(
    content: &mut (impl Read + Seek),
    places: &Places,
    storage: &StorageRef,
) -> Checked<Vec<u8>> {
    let place = places.get(&storage.key);
    let place = *place.ok_or_else(|| format!("storage {}: no numbers", storage.key))?;
    content.seek(SeekFrom::Start(place))?;
    let mut bytes = Vec::new();
    content.take(storage.bytes()?).read_to_end(&mut bytes)?;
    Ok(bytes)
}
