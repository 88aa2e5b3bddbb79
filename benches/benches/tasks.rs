//! What does one more task cost? MTLoRA on the small Swin, forward and backward, by number of
//! tasks.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use polyptych_adapters::methods::mtlora::MtLoraConfig;
use polyptych_adapters::{Form, Method};
use polyptych_backbones::{Backbone, BackboneConfig, Options};
use polyptych_tensor::{Device, Kind, Store, Tensor};

const BATCH: i64 = 8;

fn model(num_tasks: usize) -> (Store, Box<dyn Backbone>) {
    let tasks: Vec<String> = (0..num_tasks).map(|index| format!("task{index}")).collect();
    let adapter = MtLoraConfig::new(16, 4, &tasks);
    let plan = adapter.plan(&tasks, Form::Adapted).expect("the published defaults are valid");
    let store = Store::new(Device::Cpu);
    let config = BackboneConfig::from_name("swin_micro_patch4_window4_128").expect("it is ours");
    let options = Options { features_only: true, ..Options::default() };
    let backbone = config.init(&store.root(), plan.as_ref(), options).expect("the plan fits");
    plan.set_trainable(&store);
    (store, backbone)
}

fn step(store: &Store, backbone: &dyn Backbone, images: &Tensor) {
    store.zero_grad();
    let levels = backbone.forward_intermediates(images, true).expect("images fit").levels;
    let sums = levels.iter().map(|level| level.task(0).sum(Kind::Float));
    sums.reduce(|a, b| a + b).expect("there are levels").backward();
    black_box(store.trainable().len());
}

fn tasks(criterion: &mut Criterion) {
    let images = Tensor::randn([BATCH, 3, 128, 128], (Kind::Float, Device::Cpu));
    let mut group = criterion.benchmark_group("mtlora_swin_micro_128px_batch8");
    for num_tasks in [1, 2, 4, 8] {
        let (store, backbone) = model(num_tasks);
        group.bench_with_input(BenchmarkId::new("step", num_tasks), &num_tasks, |b, _| {
            b.iter(|| step(&store, backbone.as_ref(), &images));
        });
    }
    group.finish();
}

criterion_group!(benches, tasks);
criterion_main!(benches);
