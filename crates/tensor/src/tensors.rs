//! Tensors by name, as files and states hold them.

use std::collections::BTreeMap;

use tch::Tensor;

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;
