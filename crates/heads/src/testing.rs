//! Features and parameters to test heads with.

use std::collections::BTreeMap;

use polyptych_tensor::{Device, Kind, Store, Tensor};

use crate::{FeatureDims, HeadInput};

/// Levels of these dims, and no features of whole images.
pub(crate) fn dims(levels: &[i64]) -> FeatureDims<'_> {
    FeatureDims { levels, pooled: 0 }
}

/// A pyramid from 12 x 8 downwards, each level half the size of the one before.
pub(crate) fn levels(dims: &[i64], batch: i64, kind: Kind) -> HeadInput {
    let level = |(i, dim): (usize, &i64)| {
        let shape = [batch, 12 >> i, 8 >> i, *dim];
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind)
    };
    HeadInput { levels: dims.iter().enumerate().map(level).collect(), pooled: None }
}

/// All tensors by name.
pub(crate) fn tensors(store: &Store) -> BTreeMap<String, Tensor> {
    store.tensors().into_iter().collect()
}

/// Number of trainable numbers in tensors whose name starts with `prefix`.
pub(crate) fn parameters(store: &Store, prefix: &str) -> usize {
    let trainable = store.trainable().into_iter();
    trainable.filter(|(name, _)| name.starts_with(prefix)).map(|(_, t)| t.numel()).sum()
}
