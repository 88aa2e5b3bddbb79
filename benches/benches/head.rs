//! What does a head cost? Every head with its published sizes on the features of its backbone at
//! 224 x 224 pixels, batch 4: forward, and as it trains; the fusion head by image size too.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use polyptych_heads::hrnet::HrnetConfig;
use polyptych_heads::{FeatureDims, Head, HeadConfig, HeadInput, Result, SharedDecoder, upsample};
use polyptych_tensor::{Activations, Device, Kind, Store, Tensor, no_grad};

const BATCH: i64 = 4;
const SIZE: i64 = 224;
/// PASCAL's.
const CLASSES: i64 = 21;
/// Swin-T's levels behind patch merging: dims, and how much smaller than the image they are.
const CHS: [i64; 4] = [192, 384, 768, 768];
const REDUCTIONS: [i64; 4] = [8, 16, 32, 32];
/// ViT-B's features of a whole image.
const POOLED: i64 = 768;

/// A head with the decoder that it would share with those of other tasks, where it has one.
struct Whole {
    decoder: Option<Box<dyn SharedDecoder>>,
    head: Box<dyn Head>,
}

impl Whole {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
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

fn init(config: &HeadConfig) -> (Store, Whole) {
    let store = Store::new(Device::Cpu);
    let dims = FeatureDims { levels: &CHS, pooled: POOLED, text: 0 };
    let decoder = config.init_decoder(&store.root().pp("decoder"), dims);
    let head = config.init(&store.root().pp("head"), &CHS, POOLED, CLASSES);
    let decoder = decoder.expect("the published sizes are valid");
    (store, Whole { decoder, head: head.expect("the published sizes are valid") })
}

/// Leaves, so that a backward pass reaches what a backbone would go on from.
fn features(size: i64, learn: bool) -> HeadInput {
    let random =
        |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(learn);
    let level =
        |(dim, reduction): (&i64, &i64)| random(&[BATCH, size / reduction, size / reduction, *dim]);
    let levels = CHS.iter().zip(&REDUCTIONS).map(level).collect();
    HeadInput { levels, pooled: Some(random(&[BATCH, POOLED])), ..HeadInput::default() }
}

/// The head's output at the size of the image.
fn output(head: &Whole, features: &HeadInput, size: i64, train: bool) -> Tensor {
    let raw = head.forward(features, train).expect("the features fit");
    match raw.dim() {
        4 => upsample(&raw, [size, size]).expect("a map has four axes"),
        _ => raw,
    }
}

fn pass(head: &Whole, features: &HeadInput, size: i64) {
    drop(black_box(no_grad(|| output(head, features, size, false))));
}

fn step(store: &Store, head: &Whole, features: &HeadInput, size: i64) {
    store.zero_grad();
    output(head, features, size, true).mean(Kind::Float).backward();
    black_box(store.trainable().len());
}

fn published(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head_224px_batch4");
    group.sample_size(10);
    let (fixed, trainable) = (features(SIZE, false), features(SIZE, true));
    for config in HeadConfig::examples() {
        let (name, (store, head)) = (config.name(), init(&config));
        group.bench_function(BenchmarkId::new("pass", name), |b| {
            b.iter(|| pass(&head, &fixed, SIZE));
        });
        group.bench_function(BenchmarkId::new("step", name), |b| {
            b.iter(|| step(&store, &head, &trainable, SIZE));
        });
    }
    group.finish();
}

fn sizes(criterion: &mut Criterion) {
    let (_store, head) = init(&HrnetConfig::default().into());
    let mut group = criterion.benchmark_group("hrnet_batch4");
    group.sample_size(10);
    for size in [224, 448] {
        let features = features(size, false);
        group.bench_with_input(BenchmarkId::new("pass", size), &size, |b, &size| {
            b.iter(|| pass(&head, &features, size));
        });
    }
    group.finish();
}

criterion_group!(benches, published, sizes);
criterion_main!(benches);
