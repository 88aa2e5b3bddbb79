//! Features and parameters to test heads with.

use std::collections::BTreeMap;

use polyptych_tensor::{Activations, Device, Kind, Scope, Store, Tensor};

use crate::{FeatureDims, Head, HeadConfig, HeadInput, Result, SharedDecoder};

/// Levels of these dims, and no features of whole images.
pub(crate) fn dims(levels: &[i64]) -> FeatureDims<'_> {
    FeatureDims { levels, pooled: 0, text: 0 }
}

/// A pyramid from 12 x 8 downwards, each level half the size of the one before.
pub(crate) fn levels(dims: &[i64], batch: i64, kind: Kind) -> HeadInput {
    let level = |(i, dim): (usize, &i64)| {
        let shape = [batch, 12 >> i, 8 >> i, *dim];
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind)
    };
    HeadInput { levels: dims.iter().enumerate().map(level).collect(), ..HeadInput::default() }
}

/// Levels of a plain ViT: all of 12 x 8.
pub(crate) fn plain_levels(dims: &[i64], batch: i64, kind: Kind) -> HeadInput {
    let level =
        |dim: &i64| Tensor::randn([batch, 12, 8, *dim], (Kind::Float, Device::Cpu)).to_kind(kind);
    HeadInput { levels: dims.iter().map(level).collect(), ..HeadInput::default() }
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

/// A head with the decoder that it shares with none here, where it is of that kind.
#[derive(Debug)]
pub(crate) struct Whole {
    decoder: Option<Box<dyn SharedDecoder>>,
    head: Box<dyn Head>,
}

impl Whole {
    /// Behind levels of `chans`, with five outputs.
    pub(crate) fn new(config: &HeadConfig, scope: &Scope, chans: &[i64]) -> Self {
        let decoder = config.init_decoder(&scope.pp("decoder"), dims(chans)).unwrap();
        Self { decoder, head: config.init(&scope.pp("sal"), chans, 0, 5).unwrap() }
    }

    /// What the head makes of the levels, through its decoder if it has one.
    pub(crate) fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        let Some(decoder) = &self.decoder else { return self.head.forward(features, train) };
        let levels: Vec<Activations> = features
            .levels
            .iter()
            .map(|level| Activations::Shared(level.shallow_clone()))
            .collect();
        let hidden = Some(decoder.forward(&levels)?.into_shared());
        self.head.forward(&HeadInput { hidden, ..HeadInput::default() }, train)
    }
}
