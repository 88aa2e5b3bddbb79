//! What calling a class or function that a pickle names makes here.

use std::rc::Rc;

use super::fault::Checked;
use super::global::Global;
use super::heap::Heap;
use super::value::{Ref, TensorRef, Value};

/// More than any function here takes. A short pickle may pass one long list many times.
const MAX_ARGUMENTS: usize = 16;
/// PyTorch's own bound.
const MAX_AXES: usize = 64;

/// Calls `global` with the tuple `arguments`.
pub(super) fn call(heap: &mut Heap, global: Global, arguments: Ref) -> Checked<Ref> {
    if global == Global::Inert {
        return Ok(heap.add(Value::Inert));
    }
    let arguments = heap.items(arguments)?;
    if arguments.len() > MAX_ARGUMENTS {
        return Err(format!("a call with {} arguments", arguments.len()).into());
    }
    let arguments = arguments.to_vec();
    match global {
        Global::Dict => dict(heap, &arguments),
        Global::Tensor => tensor(heap, &arguments),
        Global::Parameter => parameter(heap, &arguments),
        Global::FromType => from_type(heap, &arguments),
        Global::Inert => Ok(heap.add(Value::Inert)),
        Global::Storage(kind) => Err(format!("a storage of {kind:?} is called").into()),
    }
}

/// Python 2 wrote the pairs as an argument, Python 3 writes them behind the call.
fn dict(heap: &mut Heap, arguments: &[Ref]) -> Checked<Ref> {
    let pairs = match arguments {
        [] => Vec::new(),
        [list] => {
            heap.charge(heap.items(*list)?.len())?;
            let items = heap.items(*list)?.iter();
            items.map(|&pair| pair_of(heap, pair)).collect::<Checked<_>>()?
        }
        more => return Err(format!("a dictionary of {} arguments", more.len()).into()),
    };
    Ok(heap.add(Value::Dict(pairs)))
}

fn pair_of(heap: &Heap, pair: Ref) -> Checked<(Ref, Ref)> {
    match heap.items(pair)? {
        &[key, value] => Ok((key, value)),
        other => Err(format!("a dictionary's entry of {} parts", other.len()).into()),
    }
}

/// Storage, offset, size and stride; what follows them concerns training alone.
fn tensor(heap: &mut Heap, arguments: &[Ref]) -> Checked<Ref> {
    let &[storage, offset, size, stride, ..] = arguments else {
        return Err(format!("a tensor of {} arguments", arguments.len()).into());
    };
    let storage = match heap.value(storage) {
        Value::Storage(storage) => storage,
        // Numbers of a type that is not read, such as complex ones.
        &Value::Object { class, .. } => {
            return Ok(heap.add(Value::Object { class, entries: Vec::new() }));
        }
        _ => return Err("a tensor without a storage".into()),
    };
    let numbers = |list| -> Checked<Vec<i64>> {
        match heap.items(list)? {
            axes if axes.len() > MAX_AXES => Err(format!("a tensor of {} axes", axes.len()).into()),
            axes => axes.iter().map(|&number| heap.int(number)).collect(),
        }
    };
    let tensor = TensorRef {
        storage: Rc::clone(storage),
        offset: heap.int(offset)?,
        size: numbers(size)?,
        stride: numbers(stride)?,
    };
    tensor.check()?;
    Ok(heap.add(Value::Tensor(Rc::new(tensor))))
}

fn parameter(heap: &Heap, arguments: &[Ref]) -> Checked<Ref> {
    match arguments.first().map(|&data| (data, heap.value(data))) {
        Some((data, Value::Tensor(_) | Value::Object { .. })) => Ok(data),
        _ => Err("a parameter without a tensor".into()),
    }
}

/// What `torch.Tensor` makes of a subclass's or a marked tensor's parts, without the marks.
fn from_type(heap: &mut Heap, arguments: &[Ref]) -> Checked<Ref> {
    let &[make, class, parts, ..] = arguments else {
        return Err(format!("a tensor of {} arguments", arguments.len()).into());
    };
    match heap.value(make) {
        Value::Global(global @ (Global::Tensor | Global::Parameter)) => {
            let global = *global;
            call(heap, global, parts)
        }
        _ => Ok(heap.add(Value::Object { class, entries: Vec::new() })),
    }
}
