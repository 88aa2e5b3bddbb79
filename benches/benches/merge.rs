//! What does it cost to merge a method into its backbone? All factors of a model, by method, and by
//! the number of tasks where tasks keep factors of their own.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use polyptych_adapters::Form;
use polyptych_benches::{Method, Subject};
use polyptych_engine::Model;
use polyptych_tensor::{LoadOptions, no_grad};

const METHODS: [(&str, Method); 4] = [
    ("mtlora_swin_tiny", Method::MtLora),
    ("vmt_swin_tiny", Method::Vmt),
    ("lora_swin_tiny", Method::LoraOn("swin_tiny_patch4_window7_224")),
    ("emtal_vit_base", Method::Emtal),
];

fn trained(subject: Subject) -> Model {
    subject.stirred().expect("the published sizes are valid")
}

fn merge(model: &Model) {
    black_box(no_grad(|| model.merged()).expect("all factors are there"));
}

fn methods(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold_4_tasks");
    group.sample_size(10);
    for (name, method) in METHODS {
        let model = trained(Subject::usual(method));
        group.bench_function(name, |b| b.iter(|| merge(&model)));
    }
    group.finish();
}

fn tasks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold_mtlora_swin_tiny");
    group.sample_size(10);
    for tasks in [1, 8] {
        let model = trained(Subject { tasks, ..Subject::usual(Method::MtLora) });
        group.bench_function(BenchmarkId::new("tasks", tasks), |b| b.iter(|| merge(&model)));
    }
    group.finish();
}

/// Taking the merged tensors over into a plain model, with names and shapes compared.
fn load(criterion: &mut Criterion) {
    let subject = Subject::usual(Method::MtLora);
    let merged = no_grad(|| trained(subject).merged()).expect("all factors are there");
    let plain = subject.model(Form::Merged).expect("the published sizes are valid");
    criterion.bench_function("load_merged_mtlora_swin_tiny", |b| {
        b.iter(|| {
            let report = plain.store.load("bench", &merged, &LoadOptions::default());
            black_box(report.expect("names and shapes are those of the merged form"))
        });
    });
}

criterion_group!(benches, methods, tasks, load);
criterion_main!(benches);
