//! What nothing reads is not computed: heads of tasks without labels in a batch, and gradients below
//! the first part that trains.
use std::sync::atomic::Ordering;

use crate::common::counted::{CountedConfig, TRAINED};
use crate::common::{Until, alone, recipe};
use polyptych_adapters::Form;
use polyptych_engine::{DataSets, Model, Trainer};
use polyptych_heads::HeadConfig;
use polyptych_kernels::live_storages;
use polyptych_tensor::{Device, Kind, Tensor};

/// Depth of scenes by the counting head, and birds, of which a batch has either.
const ONE_AT_A_TIME: [&str; 7] = [
    "adapter={ method='lora', r=2, target_modules=['qkv'] }",
    "data.batch_size=1",
    "data.sampling='per_dataset'",
    "data.train=[\
     { dataset='scenes', seed=0, split='train', len=6, height=32, width=32 }, \
     { dataset='fine_grained', domain='birds', seed=0, split='train', len=6, height=32, width=32 }]",
    "tasks.depth.head={ name='counted' }",
    "tasks.birds={ weight=1.0, head={ name='linear' } }",
    "train.steps=8",
];

#[test]
fn a_head_without_labels_in_the_batch_does_not_run_and_gets_gradients_of_zero() {
    let _alone = alone();
    let _ = HeadConfig::register::<CountedConfig>();
    let folder = tempfile::tempdir().unwrap();
    let (mut run, _) =
        Trainer::start(recipe(&ONE_AT_A_TIME), None, &folder.path().join("run")).unwrap();
    TRAINED.store(0, Ordering::Relaxed);
    let mut observer = Until { until: 4, ..Until::default() };
    run.run(&mut observer).unwrap();
    assert_eq!(TRAINED.load(Ordering::Relaxed), 2, "of four batches two have depth");
    let gradient = |name: &str| {
        let params = run.model().store.trainable();
        params.into_iter().find(|(own, _)| own == name).map(|(_, param)| param.grad()).unwrap()
    };
    // The fourth batch is of the other data set than the third.
    let [depth, birds] =
        ["heads.depth.weight", "heads.birds.weight"].map(|name| gradient(name).abs().max());
    let zeros = [depth, birds].map(|largest| largest.double_value(&[]) == 0.0);
    assert!(zeros[0] != zeros[1], "one of the two had labels: {zeros:?}");
}

#[test]
fn outputs_below_the_first_part_that_trains_ask_for_no_gradient() {
    let _alone = alone();
    let recipe = recipe(&["adapter={ method='lora', r=2, target_modules=['qkv'] }"]);
    let specs = DataSets::describe(&recipe).unwrap();
    let model = Model::new(&recipe, &specs, Form::Adapted, Device::Cpu).unwrap();
    let images = Tensor::rand([1, 3, 32, 32], (Kind::Float, Device::Cpu));
    // What each part of the backbone makes trainable by itself reaches the heads or does not.
    let learns = |prefix: &str| {
        model.store.set_trainable(|name| name.starts_with(prefix));
        model.forward(&images, true).unwrap().iter().any(Tensor::requires_grad)
    };
    assert!(learns("backbone.layers.3."));
    assert!(!learns("backbone.absent"));
    // What a pass keeps for the way back, beside its outputs.
    let kept = |prefix: &str| {
        model.store.set_trainable(|name| name.starts_with(prefix));
        let before = live_storages();
        let outputs = model.forward(&images, true).unwrap();
        live_storages() - before - outputs.len() as i64
    };
    let (last, first) = (kept("backbone.layers.3."), kept("backbone.layers.0."));
    assert!(0 < last && 2 * last < first, "{last} of {first} tensors");
}
