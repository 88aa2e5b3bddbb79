//! How fast does one thread make batches, by size? Scenes of 480 x 360 pixels that are decoded
//! already, with six dense labels, so that transforms and stacking are what is timed; beside it a
//! photograph's way from JPEG to pixels.
//!
//! `cargo xtask bench loader --peers` times both together, interleaved with TorchVision.

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use polyptych_data::{
    AugmentConfig, Cached, ColorJitter, Dataset, Loader, LoaderConfig, read_image,
};
use polyptych_synthetic::{Scenes, ScenesConfig};
use tempfile::TempDir;

const LEN: usize = 16;
const BATCH: usize = 8;
/// Height and width of what is read.
const FROM: [usize; 2] = [360, 480];
const SIZES: [usize; 3] = [128, 224, 448];
/// More than all samples need.
const CACHE_BYTES: usize = 1 << 30;

fn scenes() -> Scenes {
    let [height, width] = FROM;
    let config = ScenesConfig { seed: 0, split: "train".into(), len: LEN, height, width };
    Scenes::new(config).expect("the configuration is in range")
}

/// MTLoRA's augmentation with colours.
fn dense() -> AugmentConfig {
    let color_jitter = ColorJitter { brightness: 0.3, contrast: 0.3, saturation: 0.3 };
    AugmentConfig { color_jitter, ..AugmentConfig::pascal() }
}

fn loader(dataset: &Arc<Cached>, size: usize, augment: Option<AugmentConfig>) -> Loader {
    let config = LoaderConfig {
        shuffle: true,
        augment,
        threads: Some(1),
        ..LoaderConfig::evaluation(BATCH, [size; 2])
    };
    Loader::new(dataset.clone(), config).expect("the configuration is in range")
}

fn batches(criterion: &mut Criterion) {
    let dataset = Arc::new(Cached::new(Arc::new(scenes()), CACHE_BYTES));
    let mut group = criterion.benchmark_group("loader_480x360");
    group.sample_size(10).throughput(Throughput::Elements(LEN as u64));
    for size in SIZES {
        for (name, augment) in [("resized", None), ("augmented", Some(dense()))] {
            let loader = loader(&dataset, size, augment);
            let mut epoch = 0;
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter(|| {
                    epoch += 1;
                    let batches = loader.epoch(epoch, 0).expect("a thread starts");
                    batches.for_each(|batch| drop(black_box(batch.expect("scenes are whole"))));
                });
            });
        }
    }
    group.finish();
}

/// JPEG of quality 90 with halved chroma, as cameras write it.
fn photograph() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is a folder for files");
    let path = folder.path().join("photograph.jpg");
    let image = scenes().get(0).expect("there are scenes").image;
    let mut encoder = Encoder::new_file(&path, 90).expect("the folder is writable");
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    let [height, width] = FROM.map(|extent| extent as u16);
    let pixels = image.into_raw_vec_and_offset().0;
    encoder.encode(&pixels, width, height, ColorType::Rgb).expect("the picture fits its size");
    (folder, path)
}

fn decoding(criterion: &mut Criterion) {
    let (_folder, path) = photograph();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("jpeg_480x360", |b| {
        b.iter(|| black_box(read_image(&path).expect("it was written so")));
    });
    group.finish();
}

criterion_group!(benches, batches, decoding);
criterion_main!(benches);
