//! How fast are scenes drawn, by size? One image with all of its labels, on one thread.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use polyptych_data::Dataset;
use polyptych_synthetic::{FineGrained, FineGrainedConfig, Scenes, ScenesConfig};

const SIZES: [usize; 3] = [64, 128, 224];
/// Rooms and landscapes, with and without people: enough for both halves to be there.
const LEN: usize = 64;

fn scenes(size: usize) -> Box<dyn Dataset> {
    let (split, len) = ("train".to_owned(), LEN);
    let config = ScenesConfig { seed: 0, split, len, height: size, width: size };
    Box::new(Scenes::new(config).expect("the configuration is in range"))
}

fn fine_grained(domain: &str, size: usize) -> Box<dyn Dataset> {
    let config = FineGrainedConfig {
        domain: domain.into(),
        seed: 0,
        split: "train".into(),
        len: LEN,
        height: size,
        width: size,
        variety: 1.0,
    };
    Box::new(FineGrained::new(config).expect("the configuration is in range"))
}

/// One image after the other, so that a pass sees all kinds.
fn draws(criterion: &mut Criterion, name: &str, dataset: impl Fn(usize) -> Box<dyn Dataset>) {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    for size in SIZES {
        let dataset = dataset(size);
        let mut index = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("image", size), |b| {
            b.iter(|| {
                index = (index + 1) % dataset.len();
                black_box(dataset.get(index).expect("the index is in range"))
            });
        });
    }
    group.finish();
}

fn generators(criterion: &mut Criterion) {
    draws(criterion, "scenes", scenes);
    draws(criterion, "fine_grained_birds", |size| fine_grained("birds", size));
}

criterion_group!(benches, generators);
criterion_main!(benches);
