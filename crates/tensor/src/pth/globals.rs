//! The classes and functions that a pickle may name, and what calling each makes here.

use std::rc::Rc;

use tch::Kind;

use super::machine::Machine;
use super::value::{Ref, TensorRef, Value};
use super::{Checked, Fault, shown};

/// A known class or function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    /// `OrderedDict` and the like.
    Dict,
    /// A view of a storage.
    Tensor,
    /// A tensor that trains.
    Parameter,
    /// A type of storage; never called.
    Storage(Kind),
    /// Numbers, sets, settings: harmless, and nobody here needs them.
    Inert,
}

/// PyTorch's own bound.
const MAX_AXES: usize = 64;

const KNOWN: [(&str, &str, Global); 35] = [
    ("collections", "OrderedDict", Global::Dict),
    ("torch._utils", "_rebuild_tensor", Global::Tensor),
    ("torch._utils", "_rebuild_tensor_v2", Global::Tensor),
    ("torch._utils", "_rebuild_parameter", Global::Parameter),
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
    /// The global of this name.
    pub(super) fn named(module: &str, name: &str) -> Checked<Self> {
        let known = KNOWN.iter().find(|(m, n, _)| *m == module && *n == name);
        let foreign = || Fault::Foreign(shown(&format!("{module}.{name}")));
        known.map(|(_, _, global)| *global).ok_or_else(foreign)
    }

    /// What calling it with these arguments makes.
    pub(super) fn call(self, machine: &mut Machine, arguments: &[Ref]) -> Checked<Ref> {
        match self {
            Self::Dict => dict(machine, arguments),
            Self::Tensor => tensor(machine, arguments),
            Self::Parameter => parameter(machine, arguments),
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
    let Value::Storage(storage) = machine.value(storage) else {
        return Err("a tensor without a storage".into());
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
    match arguments.first() {
        Some(&data) if matches!(machine.value(data), Value::Tensor(_)) => Ok(data),
        _ => Err("a parameter without a tensor".into()),
    }
}
