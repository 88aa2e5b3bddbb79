//! The classes and functions that a pickle may name, and what calling each makes here.

use std::rc::Rc;

use tch::Kind;

use super::Checked;
use super::machine::Machine;
use super::value::{Ref, TensorRef, Value};

/// A known class or function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    /// `OrderedDict` and the like.
    Dict,
    /// A view of a storage.
    Tensor,
    /// A tensor that trains.
    Parameter,
    /// A tensor of a subclass, or with attributes: what makes it, its class, the arguments.
    FromType,
    /// A type of storage; never called.
    Storage(Kind),
    /// Numbers, sets, settings: harmless, and nobody here needs them.
    Inert,
}

/// PyTorch's own bound.
const MAX_AXES: usize = 64;

const KNOWN: [(&str, &str, Global); 38] = [
    ("collections", "OrderedDict", Global::Dict),
    ("torch._utils", "_rebuild_tensor", Global::Tensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::Tensor),
    ("torch._utils", "_rebuild_parameter", Global::Parameter),
    ("torch._utils", "_rebuild_parameter_with_state", Global::Parameter),
    ("torch._tensor", "_rebuild_from_type", Global::FromType),
    ("torch._tensor", "_rebuild_from_type_v2", Global::FromType),
    ("torch", "DoubleStorage", Global::Storage(Kind::Double)),
    ("torch", "FloatStorage", Global::Storage(Kind::Float)),
    ("torch", "HalfStorage", Global::Storage(Kind::Half)),
    ("torch", "BFloat16Storage", Global::Storage(Kind::BFloat16)),
    ("torch", "LongStorage", Global::Storage(Kind::Int64)),
    ("torch", "IntStorage", Global::Storage(Kind::Int)),
    ("torch", "ShortStorage", Global::Storage(Kind::Int16)),
    ("torch", "CharStorage", Global::Storage(Kind::Int8)),
    ("torch", "ByteStorage", Global::Storage(Kind::Uint8)),
    ("torch", "BoolStorage", Global::Storage(Kind::Bool)),
    ("__builtin__", "set", Global::Inert),
    ("builtins", "set", Global::Inert),
    ("__builtin__", "frozenset", Global::Inert),
    ("builtins", "frozenset", Global::Inert),
    ("_codecs", "encode", Global::Inert),
    ("argparse", "Namespace", Global::Inert),
    ("collections", "Counter", Global::Inert),
    ("numpy", "dtype", Global::Inert),
    ("numpy.core.multiarray", "scalar", Global::Inert),
    ("numpy._core.multiarray", "scalar", Global::Inert),
    ("torch", "Size", Global::Inert),
    ("torch", "device", Global::Inert),
    ("torch", "bfloat16", Global::Inert),
    ("torch", "bool", Global::Inert),
    ("torch", "float16", Global::Inert),
    ("torch", "float32", Global::Inert),
    ("torch", "float64", Global::Inert),
    ("torch", "int32", Global::Inert),
    ("torch", "int64", Global::Inert),
    ("torch", "uint8", Global::Inert),
    ("yacs.config", "CfgNode", Global::Inert),
];

impl Global {
    /// The global of this name, where it is known.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|(m, n, _)| *m == module && *n == name);
        known.map(|(_, _, global)| *global)
    }

    /// What calling it with these arguments makes.
    pub(super) fn call(self, machine: &mut Machine, arguments: &[Ref]) -> Checked<Ref> {
        match self {
            Self::Dict => dict(machine, arguments),
            Self::Tensor => tensor(machine, arguments),
            Self::Parameter => parameter(machine, arguments),
            Self::FromType => from_type(machine, arguments),
            Self::Inert => Ok(machine.add(Value::Inert)),
            Self::Storage(kind) => Err(format!("a storage of {kind:?} is called").into()),
        }
    }
}

/// Python 2 wrote the pairs as an argument, Python 3 writes them behind the call.
fn dict(machine: &mut Machine, arguments: &[Ref]) -> Checked<Ref> {
    let pairs = match arguments {
        [] => Vec::new(),
        [list] => {
            machine.charge(machine.items(*list)?.len())?;
            let items = machine.items(*list)?.iter();
            items.map(|&pair| pair_of(machine, pair)).collect::<Checked<_>>()?
        }
        more => return Err(format!("a dictionary of {} arguments", more.len()).into()),
    };
    Ok(machine.add(Value::Dict(pairs)))
}

fn pair_of(machine: &Machine, pair: Ref) -> Checked<(Ref, Ref)> {
    match machine.items(pair)? {
        &[key, value] => Ok((key, value)),
        other => Err(format!("a dictionary's entry of {} parts", other.len()).into()),
    }
}

/// Storage, offset, size and stride; what follows them concerns training alone.
fn tensor(machine: &mut Machine, arguments: &[Ref]) -> Checked<Ref> {
    let &[storage, offset, size, stride, ..] = arguments else {
        return Err(format!("a tensor of {} arguments", arguments.len()).into());
    };
    let storage = match machine.value(storage) {
        Value::Storage(storage) => storage,
        // Numbers of a type that is not read, such as complex ones.
        &Value::Object { class, .. } => {
            return Ok(machine.add(Value::Object { class, entries: Vec::new() }));
        }
        _ => return Err("a tensor without a storage".into()),
    };
    let numbers = |list| -> Checked<Vec<i64>> {
        match machine.items(list)? {
            axes if axes.len() > MAX_AXES => Err(format!("a tensor of {} axes", axes.len()).into()),
            axes => axes.iter().map(|&number| machine.int(number)).collect(),
        }
    };
    let tensor = TensorRef {
        storage: Rc::clone(storage),
        offset: machine.int(offset)?,
        size: numbers(size)?,
        stride: numbers(stride)?,
    };
    tensor.check()?;
    Ok(machine.add(Value::Tensor(Rc::new(tensor))))
}

fn parameter(machine: &Machine, arguments: &[Ref]) -> Checked<Ref> {
    match arguments.first().map(|&data| (data, machine.value(data))) {
        Some((data, Value::Tensor(_) | Value::Object { .. })) => Ok(data),
        _ => Err("a parameter without a tensor".into()),
    }
}

/// What `torch.Tensor` makes of a subclass's or a marked tensor's parts, without the marks.
fn from_type(machine: &mut Machine, arguments: &[Ref]) -> Checked<Ref> {
    let &[make, class, parts, ..] = arguments else {
        return Err(format!("a tensor of {} arguments", arguments.len()).into());
    };
    match machine.value(make) {
        Value::Global(global @ (Global::Tensor | Global::Parameter)) => {
            let global = *global;
            machine.call_known(global, parts)
        }
        _ => Ok(machine.add(Value::Object { class, entries: Vec::new() })),
    }
}
