//! What does a checkpoint cost? Writing and reading the tensors of MTLoRA on Swin-T with four
//! tasks: the whole model, and the optimiser's moments of what trains.
//!
//! A run's checkpoint adds a hash of each file and a folder that is renamed when it is whole; this
//! times the files, which are flushed to the disk before they get their names.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use polyptych_benches::{Method, Subject};
use polyptych_formats::file;
use polyptych_tensor::Tensors;
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, decay_groups};

/// The tensors of a checkpoint's two large files.
fn parts() -> [(&'static str, Tensors); 2] {
    let model = Subject::usual(Method::MtLora).stirred().expect("the published sizes are valid");
    let groups = decay_groups(model.store.trainable(), 0.05);
    let moments = AdamW::new(AdamWConfig::default(), groups).state();
    [("model", model.store.tensors().into_iter().collect()), ("optimiser", moments)]
}

fn bytes(tensors: &Tensors) -> u64 {
    tensors.values().map(|t| (t.numel() * t.kind().elt_size_in_bytes()) as u64).sum()
}

fn save(path: &Path, tensors: &Tensors) {
    file::save(path, tensors, Default::default()).expect("the folder is writable");
}

fn files(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is a folder for files");
    let mut group = criterion.benchmark_group("checkpoint_mtlora_swin_tiny_4_tasks");
    group.sample_size(10);
    for (name, tensors) in parts() {
        let path = folder.path().join(format!("{name}.safetensors"));
        group.throughput(Throughput::Bytes(bytes(&tensors)));
        group.bench_function(BenchmarkId::new("write", name), |b| {
            b.iter(|| save(&path, &tensors));
        });
        save(&path, &tensors);
        group.bench_function(BenchmarkId::new("read", name), |b| {
            b.iter(|| black_box(file::load(&path).expect("it was written so")));
        });
    }
    group.finish();
}

/// What a merged model or an adapter's file holds.
fn adapter(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("there is a folder for files");
    let path = folder.path().join("adapter.safetensors");
    let model = Subject::usual(Method::Lora).stirred().expect("the published sizes are valid");
    let tensors: Tensors = model.store.trainable().into_iter().collect();
    let mut group = criterion.benchmark_group("adapter_lora_vit_base");
    group.throughput(Throughput::Bytes(bytes(&tensors)));
    group.sample_size(10);
    group.bench_function("write", |b| b.iter(|| save(&path, &tensors)));
    group.finish();
}

criterion_group!(benches, files, adapter);
criterion_main!(benches);
