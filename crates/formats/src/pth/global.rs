//! The classes and functions that a pickle may name.

use tch::Kind;

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
}
