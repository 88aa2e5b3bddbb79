//! What does a model cost before and after merging? A forward pass of MTLoRA on Swin-T for four
//! dense tasks by image size, and of LoRA on it for four sets of classes by batch.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use polyptych_adapters::Form;
use polyptych_benches::{Method, Subject};
use polyptych_engine::Model;
use polyptych_tensor::{LoadOptions, Tensor, no_grad};

/// The model as it trained, and merged, both frozen.
fn forms(subject: &Subject) -> [(&'static str, Model); 2] {
    let adapted = subject.stirred().expect("the published sizes are valid");
    let merged = no_grad(|| adapted.merged()).expect("all factors are there");
    let plain = subject.model(Form::Merged).expect("the published sizes are valid");
    let loaded = plain.store.load("bench", &merged, &LoadOptions::default());
    let _ = loaded.expect("names and shapes are those of the merged form");
    let forms = [("unmerged", adapted), ("merged", plain)];
    forms.iter().for_each(|(_, model)| model.store.set_trainable(|_| false));
    forms
}

fn pass(model: &Model, images: &Tensor) {
    black_box(no_grad(|| model.forward(images, false)).expect("the images fit"));
}

/// MTLoRA by the size of one image.
fn sizes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mtlora_swin_tiny_4_tasks_batch1");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    for size in [112, 224, 336] {
        let subject = Subject { size, batch: 1, ..Subject::usual(Method::MtLora) };
        let images = subject.images();
        for (form, model) in forms(&subject) {
            group.bench_function(BenchmarkId::new(form, size), |b| {
                b.iter(|| pass(&model, &images));
            });
        }
    }
    group.finish();
}

/// LoRA by batch.
fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lora_swin_tiny_4_tasks_224px");
    group.sample_size(10).warm_up_time(Duration::from_secs(1));
    let method = Method::LoraOn("swin_tiny_patch4_window7_224");
    let forms = forms(&Subject::usual(method));
    for batch in [1, 8] {
        let images = Subject { batch, ..Subject::usual(method) }.images();
        for (form, model) in &forms {
            group.bench_function(BenchmarkId::new(*form, batch), |b| {
                b.iter(|| pass(model, &images));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, sizes, batches);
criterion_main!(benches);
