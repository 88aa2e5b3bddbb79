//! Raw numbers beside a pickle, and tensors as views of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::choice::{Choice, StateDict};
use super::fault::{Checked, Fault, shown};
use super::global::Global;
use super::heap::Heap;
use super::state_dict;
use super::value::{Pickle, Ref, StorageRef, TensorRef, Value};

/// Longest name of a storage; PyTorch's are numbers.
const MAX_KEY: usize = 64;
/// Bytes of all tensors for each byte of the numbers that they are views of. Tied weights and
/// slices repeat some; a file that repeats all of them again and again means harm.
const MAX_SHARING: u64 = 16;

/// What the reference `("storage", type, key, device, numbers, None)` refers to; the last part
/// stands in old files only.
///
/// Of numbers of a type that is not read, the type's place comes back.
pub(super) fn of_id(heap: &Heap, id: Ref) -> Checked<Result<StorageRef, Ref>> {
    let &[tag, kind, key, _, len, ref rest @ ..] = heap.items(id)? else {
        return Err("a reference of less than 5 parts".into());
    };
    let kind = match heap.value(kind) {
        &Value::Global(Global::Storage(kind)) => kind,
        Value::Unknown(..) => return Ok(Err(kind)),
        _ => return Err("a storage of no known type".into()),
    };
    if heap.as_text(tag)? != "storage" {
        return Err(Fault::Foreign(shown(heap.as_text(tag)?)));
    }
    if !rest.iter().all(|&view| matches!(heap.value(view), Value::None)) {
        return Err("a storage inside another, as PyTorch wrote before 0.4".into());
    }
    let (key, len) = (heap.as_text(key)?, heap.int(len)?);
    let plain =
        (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    if !plain {
        return Err(format!("storage `{}`: expected a number as its name", shown(key)).into());
    }
    let len = u64::try_from(len).map_err(|_| format!("storage {key}: {len} numbers"))?;
    Ok(Ok(StorageRef { key: key.into(), kind, len }))
}

/// The state dict of `pickle` that `choice` means; `read` gives the bytes of a storage.
pub(super) fn state_dict(
    pickle: &Pickle,
    choice: &Choice,
    read: impl FnMut(&StorageRef) -> Checked<Vec<u8>>,
) -> Checked<StateDict> {
    let state_dict::Found { key, others, entries } = state_dict::choose(pickle, choice)?;
    let (names, views): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let tensors = names.into_iter().zip(loaded(&views, read)?).collect();
    Ok(StateDict { key, others, tensors })
}

/// The tensors that `views` describe; `read` gives the bytes of a storage.
pub(super) fn loaded(
    views: &[Rc<TensorRef>],
    mut read: impl FnMut(&StorageRef) -> Checked<Vec<u8>>,
) -> Checked<Vec<Tensor>> {
    let mut loaded: HashMap<(&str, i32), Tensor> = HashMap::new();
    for tensor in views {
        let storage = &*tensor.storage;
        let key = (storage.key.as_str(), storage.kind as i32);
        if let Entry::Vacant(place) = loaded.entry(key) {
            place.insert(numbers(storage, &read(storage)?)?);
        }
    }
    bound_sharing(views.iter().map(|tensor| &**tensor), &loaded)?;
    views.iter().map(|tensor| view(tensor, &loaded)).collect()
}

fn numbers(storage: &StorageRef, bytes: &[u8]) -> Checked<Tensor> {
    let wanted = storage.bytes()?;
    if bytes.len() as u64 != wanted {
        let (key, found) = (&storage.key, bytes.len());
        return Err(format!("storage {key}: expected {wanted} bytes, found {found}").into());
    }
    Ok(match storage.kind {
        _ if bytes.is_empty() => Tensor::f_zeros([0], (storage.kind, Device::Cpu))?,
        // Bytes other than 0 and 1 are no booleans.
        Kind::Bool => Tensor::f_from_slice(bytes)?.f_ne(0)?,
        kind => Tensor::f_from_slice(bytes)?.f_view_dtype(kind)?,
    })
}

fn bound_sharing<'a>(
    tensors: impl Iterator<Item = &'a TensorRef>,
    loaded: &HashMap<(&str, i32), Tensor>,
) -> Checked<()> {
    let bytes = |count: u64, kind: Kind| u128::from(count) * kind.elt_size_in_bytes() as u128;
    let all: u128 = tensors.map(|tensor| bytes(tensor.count(), tensor.storage.kind)).sum();
    let stored: u128 = loaded.values().map(|t| bytes(t.numel() as u64, t.kind())).sum();
    let fits = all <= u128::from(MAX_SHARING) * stored;
    let repeats = || format!("tensors of {all} bytes are views of {stored}");
    Ok(fits.then_some(()).ok_or_else(repeats)?)
}

fn view(tensor: &TensorRef, loaded: &HashMap<(&str, i32), Tensor>) -> Checked<Tensor> {
    let storage = &*tensor.storage;
    if tensor.count() == 0 {
        return Ok(Tensor::f_zeros(&tensor.size, (storage.kind, Device::Cpu))?);
    }
    let numbers = &loaded[&(storage.key.as_str(), storage.kind as i32)];
    let view = numbers.f_as_strided(&tensor.size, &tensor.stride, tensor.offset)?;
    Ok(view.f_contiguous()?)
}
