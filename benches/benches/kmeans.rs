//! What does it cost to find EMTAL's experts? Balanced k-means over the hidden units of one MLP, by
//! its width and by the number of experts; a run does it once for each of a backbone's blocks.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use polyptych_adapters::{KMeansConfig, construct_experts, moefy};
use polyptych_tensor::{Device, Kind, Tensor, Tensors, manual_seed};

/// The published number.
const EXPERTS: usize = 16;
/// Dims of ViT-Ti, ViT-S and ViT-B, whose MLPs are four times as wide.
const DIMS: [i64; 3] = [192, 384, 768];

/// One MLP whose units lie around as many directions as there are experts: random ones have no
/// clusters to find, and a trained MLP's are in between.
fn mlp(dim: i64) -> Tensors {
    manual_seed(0);
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let hidden = 4 * dim;
    let directions = random(&[EXPERTS as i64, dim]).repeat([hidden / EXPERTS as i64, 1]);
    let named = [
        ("fc1.weight", directions + random(&[hidden, dim])),
        ("fc1.bias", random(&[hidden])),
        ("fc2.weight", random(&[dim, hidden])),
        ("fc2.bias", random(&[dim])),
    ];
    named.map(|(name, tensor)| (format!("blocks.0.mlp.{name}"), tensor)).into()
}

/// One of the ten restarts that a run makes.
fn one_restart() -> KMeansConfig {
    KMeansConfig { restarts: 1, ..KMeansConfig::default() }
}

fn widths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("experts_16_one_restart");
    group.sample_size(10);
    for dim in DIMS {
        let tensors = mlp(dim);
        group.bench_function(BenchmarkId::new("hidden", 4 * dim), |b| {
            b.iter(|| {
                let found = construct_experts(&tensors, EXPERTS, &one_restart(), |_, _| {});
                black_box(found.expect("the width is a multiple"))
            });
        });
    }
    group.finish();
}

fn counts(criterion: &mut Criterion) {
    let tensors = mlp(DIMS[1]);
    let mut group = criterion.benchmark_group("experts_of_1536_units_one_restart");
    group.sample_size(10);
    for experts in [4, 16, 64] {
        group.bench_with_input(BenchmarkId::new("experts", experts), &experts, |b, &experts| {
            b.iter(|| {
                let found = construct_experts(&tensors, experts, &one_restart(), |_, _| {});
                black_box(found.expect("the width is a multiple"))
            });
        });
    }
    group.finish();
}

/// Bringing the units into their order, which loading a backbone does.
fn order(criterion: &mut Criterion) {
    let tensors = mlp(DIMS[2]);
    let layers = construct_experts(&tensors, EXPERTS, &one_restart(), |_, _| {});
    let layers = layers.expect("the width is a multiple");
    criterion.bench_function("order_3072_units", |b| {
        b.iter(|| black_box(moefy(&tensors, &layers).expect("the order fits")));
    });
}

criterion_group!(benches, widths, counts, order);
criterion_main!(benches);
