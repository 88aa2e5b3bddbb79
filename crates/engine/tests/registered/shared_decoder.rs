//! Heads of tasks that share one decoder: computed once for what tasks share and stacked for
//! streams of theirs; trained, gone on with, merged, exported, extended, and refused by name.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::methods::chosen;
use crate::common::{Until, alone, recipe, refused, train};
use polyptych_adapters::Form;
use polyptych_data::TaskSpec;
use polyptych_engine::{
    DataSets, ExportFormat, Model, OpenRun, ParameterSummary, Task, Trainer, export, merge, summary,
};
use polyptych_heads::shared_decoder::SharedDecoderConfig;
use polyptych_heads::{
    FeatureDims, Head, HeadBuilder, HeadConfig, Result as HeadResult, SharedDecoder,
};
use polyptych_registry::Part;
use polyptych_tensor::{Activations, Device, Kind, Scope, Tensor, manual_seed, no_grad};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const SHARED: [&str; 2] = [
    "tasks.semseg.head={name=\"shared_decoder\", channels=[4, 4, 4, 4], hidden=24}",
    "tasks.depth.head={name=\"shared_decoder\", channels=[4, 4, 4, 4], hidden=24}",
];
const NORMALS: &str =
    "tasks.normals={weight=1.0, head={name=\"shared_decoder\", channels=[4, 4, 4, 4], hidden=24}}";
const LORA: &str = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}";
const VMT: &str = "adapter={method=\"vmt_adapter\", bottleneck={fixed=4}}";
/// One whose tasks share all features, one whose tasks have some within stages, one at taps.
const METHODS: [&str; 3] = ["lora", "mtlora", "vmt_adapter"];

fn with(overrides: &[&str]) -> polyptych_engine::Recipe {
    recipe(&[&SHARED[..], overrides].concat())
}

/// A model whose factors all have an effect.
fn stirred(recipe: &polyptych_engine::Recipe, specs: &[TaskSpec]) -> Model {
    let model = Model::new(recipe, specs, Form::Adapted, Device::Cpu).unwrap();
    no_grad(|| {
        for (_, param) in model.store.trainable() {
            let noise = param.randn_like() * 0.02;
            drop(param.shallow_clone().g_add_(&noise));
        }
    });
    model
}

fn images() -> Tensor {
    manual_seed(1);
    Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu))
}

fn tensors(model: &Model) -> BTreeMap<String, Tensor> {
    model.store.tensors().into_iter().collect()
}

/// One head after the other gives the gradients of the sum, the decoder's among them.
#[test]
fn gradients_are_those_of_the_sum_of_losses() {
    let _alone = alone();
    for method in METHODS {
        let recipe = with(&[&chosen(method), "backbone.drop_path_rate=0.0"]);
        let specs = DataSets::describe(&recipe).unwrap();
        let (model, images) = (stirred(&recipe, &specs), images());
        let loss =
            |index: usize, output: &Tensor| (output * (index as f64 + 0.5)).sin().mean(Kind::Float);
        model.backward_by_head(&images, 7, |index, output| Ok(loss(index, output))).unwrap();
        model.store.check_gradients().unwrap();
        let taken = || {
            let named = model.store.trainable().into_iter();
            let found: Vec<_> = named.map(|(name, p)| (name, p.grad().copy())).collect();
            model.store.zero_grad();
            found
        };
        let expected = taken();
        manual_seed(7);
        let outputs = model.forward(&images, true).unwrap();
        let terms = outputs.iter().enumerate().map(|(index, output)| loss(index, output));
        terms.reduce(|sum, term| sum + term).unwrap().backward();
        for ((name, one), (_, other)) in expected.iter().zip(taken()) {
            let apart = (one - &other).abs().max().double_value(&[]);
            let largest = other.abs().max().double_value(&[]);
            assert!(apart <= 1e-4 * largest.max(1e-6), "{method}, {name}: {apart} of {largest}");
        }
    }
}

#[test]
fn one_task_is_answered_as_among_all() {
    let _alone = alone();
    for method in METHODS {
        let recipe = with(&[&chosen(method)]);
        let specs = DataSets::describe(&recipe).unwrap();
        let (model, images) = (stirred(&recipe, &specs), images());
        let all = no_grad(|| model.forward(&images, false)).unwrap();
        for (index, spec) in specs.iter().enumerate() {
            let wanted = |task: &Task| task.spec.name == spec.name;
            let one = no_grad(|| model.forward_some(&images, false, wanted)).unwrap();
            assert!(one[0].allclose(&all[index], 1e-4, 1e-5, false), "{method}: {}", spec.name);
        }
    }
}

/// Steps, a cut between them, blocks that keep their inputs alone; then merged and exported.
#[test]
fn runs_go_on_merge_and_are_exported() {
    let _alone = alone();
    for method in METHODS {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (whole, _) = train(with(&[&chosen(method)]), &path("whole"));
        let parts = with(&[&chosen(method), "backbone.grad_checkpointing=true"]);
        let (mut first, _) = Trainer::start(parts, None, &path("parts")).unwrap();
        first.run(&mut Until { until: 3, ..Until::default() }).unwrap();
        drop(first);
        let mut second = Trainer::resume(&path("parts")).unwrap();
        second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
        let found = tensors(second.model());
        for (name, tensor) in tensors(whole.model()) {
            assert!(tensor.equal(&found[&name]), "{method}: {name} differs");
        }
        drop((whole, second));
        let run = OpenRun::open(&path("parts"), false, None).unwrap();
        merge(&run, &path("merged"), false).unwrap();
        let merged = OpenRun::open(&path("merged"), false, None).unwrap();
        assert!(tensors(&merged.model).contains_key("decoder.fuse.weight"));
        export(&merged, ExportFormat::Onnx, &path("model.onnx"), None).unwrap();
        export(&merged, ExportFormat::TorchScript, &path("model.pt"), None).unwrap();
    }
}

/// What a task more costs in parameters, and that the decoder is there once.
#[test]
fn a_task_more_has_a_scale_a_shift_and_an_output_layer() {
    let _alone = alone();
    let groups = |overrides: &[&str]| {
        let rows = ParameterSummary::of_recipe(&with(overrides)).unwrap().rows.into_iter();
        rows.map(|row| (row.group, [row.total, row.trainable])).collect::<BTreeMap<_, _>>()
    };
    let (two, three) = (groups(&[LORA]), groups(&[LORA, NORMALS]));
    // Four levels of a small Swin to four numbers each, and those to the hidden layer.
    let decoder = (32 + 64 + 128 + 256) * 4 + 16 * 24;
    assert_eq!(two["decoder"], [decoder; 2]);
    assert_eq!(two["heads.depth"], [2 * 24 + 25; 2]);
    let mut expected = two.clone();
    expected.insert("heads.normals".into(), [2 * 24 + 25 * 3; 2]);
    assert_eq!(three, expected);
}

static DECODED: AtomicUsize = AtomicUsize::new(0);

/// The shared decoder, which counts how often it runs and for how many images.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CountedConfig {}

#[derive(Debug)]
struct Counted(Box<dyn SharedDecoder>);

fn small() -> SharedDecoderConfig {
    SharedDecoderConfig { channels: vec![4; 4], hidden: 16 }
}

impl Part for CountedConfig {
    const NAME: &'static str = "counted_decoder";
    const SUMMARY: &'static str = "counts how often it runs";

    fn example() -> Self {
        Self::default()
    }
}

impl HeadBuilder for CountedConfig {
    fn shares_decoder(&self) -> bool {
        true
    }

    fn build_decoder(
        &self,
        scope: &Scope,
        features: FeatureDims,
    ) -> HeadResult<Option<Box<dyn SharedDecoder>>> {
        let decoder = small().build_decoder(scope, features)?;
        Ok(decoder.map(|decoder| Box::new(Counted(decoder)) as Box<dyn SharedDecoder>))
    }

    fn build(&self, scope: &Scope, dims: FeatureDims, outputs: i64) -> HeadResult<Box<dyn Head>> {
        small().build(scope, dims, outputs)
    }
}

impl SharedDecoder for Counted {
    fn forward(&self, levels: &[Activations]) -> HeadResult<Activations> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        self.0.forward(levels)
    }
}

/// Once for both tasks; where a batch has labels of neither, the decoder learns nothing.
#[test]
fn a_step_runs_the_decoder_once() {
    let _alone = alone();
    let _ = HeadConfig::register::<CountedConfig>();
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&[
        LORA,
        "tasks.semseg.head={name=\"counted_decoder\"}",
        "tasks.depth.head={name=\"counted_decoder\"}",
        "tasks.birds={ weight=1.0, head={ name='linear' } }",
        "data.batch_size=1",
        "data.sampling='per_dataset'",
        "data.train=[\
         { dataset='scenes', seed=0, split='train', len=6, height=32, width=32 }, \
         { dataset='fine_grained', domain='birds', seed=0, split='train', len=6, height=32, width=32 }]",
        "train.steps=8",
    ]);
    let (mut run, _) = Trainer::start(recipe, None, &folder.path().join("run")).unwrap();
    let mut zeros = Vec::new();
    for step in 1..=4 {
        DECODED.store(0, Ordering::Relaxed);
        run.run(&mut Until { until: step, ..Until::default() }).unwrap();
        assert_eq!(DECODED.load(Ordering::Relaxed), 1, "step {step}");
        let gradient = |name: &str| {
            let params = run.model().store.trainable();
            let found = params.into_iter().find(|(own, _)| own == name).unwrap().1.grad();
            assert!(found.defined(), "{name}");
            found.abs().max().double_value(&[]) == 0.0
        };
        let [decoder, birds] = ["decoder.fuse.weight", "heads.birds.weight"].map(gradient);
        assert!(decoder != birds, "one of the two had labels in step {step}");
        zeros.push(decoder);
    }
    assert!(zeros.contains(&true) && zeros.contains(&false));
}

/// A head that shares the decoder of a run learns beside it, and nothing of the old tasks changes.
#[test]
fn a_task_is_added_behind_the_decoder_of_a_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    drop(train(with(&[VMT]), &path("old")));
    let extend = format!("extend={{run=\"{}\", tasks=[\"normals\"]}}", path("old").display());
    let more = with(&[VMT, NORMALS, &extend, "train.lr=0.1"]);
    let (trainer, _) = train(more, &path("new"));
    let rows = ParameterSummary::of(trainer.model()).rows;
    let trainable = |group: &str| rows.iter().find(|row| row.group == group).unwrap().trainable;
    assert_eq!((trainable("decoder"), trainable("heads.normals")), (0, 2 * 24 + 25 * 3));
    drop(trainer);
    let [old, new] = ["old", "new"].map(|name| OpenRun::open(&path(name), false, None).unwrap());
    let found = tensors(&new.model);
    for (name, tensor) in tensors(&old.model) {
        assert!(tensor.equal(&found[&name]), "{name}");
    }
    let images = images();
    let outputs = |run: &OpenRun| no_grad(|| run.model.forward(&images, false)).unwrap();
    let (before, after) = (outputs(&old), outputs(&new));
    assert!(before[0].equal(&after[0]));
    // Behind a new task's stream the rows of this one fall into other tiles of the products.
    assert!(before[1].allclose(&after[2], 1e-6, 1e-6, false));
}

#[test]
fn a_run_gives_its_decoder_with_the_heads_behind_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (first, _) = train(with(&[LORA]), &path("run"));
    let weights = format!("backbone.weights={}", path("run").display());
    let start = |name: &str, overrides: &[&str]| {
        let recipe = with(&[&[LORA, &weights], overrides].concat());
        let (second, preparation) = Trainer::start(recipe, None, &path(name)).unwrap();
        (tensors(second.model()), summary(&preparation.weights.unwrap()))
    };
    let old = tensors(first.model());
    let (new, report) = start("same", &[]);
    assert!(old.iter().all(|(name, tensor)| new[name].equal(tensor)));
    assert_eq!(report, format!("{} tensors loaded", old.len()));
    // Heads of the same shapes are new behind another decoder.
    let narrow: Vec<String> =
        ["semseg", "depth"].map(|task| format!("tasks.{task}.head.channels=[2, 4, 4, 4]")).into();
    let (new, report) = start("narrow", &[&narrow[0], &narrow[1]]);
    assert!(report.contains("(decoder 5, head depth 6, head semseg 6)"), "{report}");
    assert!(!new["heads.depth.output.weight"].equal(&old["heads.depth.output.weight"]));
}

/// Gradients that end in front of the heads, and those of each task by itself.
#[test]
fn balancers_see_the_decoder_as_shared() {
    let _alone = alone();
    for balancer in ["mgda_ub", "pcgrad"] {
        let folder = tempfile::tempdir().unwrap();
        let setting = format!("balancer={{gradient={{name=\"{balancer}\"}}}}");
        let recipe = with(&[LORA, &setting]);
        let before = tensors(
            &Model::new(&recipe, &DataSets::describe(&recipe).unwrap(), Form::Adapted, Device::Cpu)
                .unwrap(),
        );
        let (trainer, _) = train(recipe, &folder.path().join("run"));
        let after = tensors(trainer.model());
        let name = "decoder.fuse.weight";
        assert!(!before[name].equal(&after[name]), "{balancer}: {name} did not move");
    }
}

#[test]
fn what_does_not_go_together_is_named() {
    let _alone = alone();
    let other = "tasks.depth.head.hidden=16";
    let copies = "backbone.per_task=true";
    let extend = |run: &Path| format!("extend={{run=\"{}\", tasks=[\"normals\"]}}", run.display());
    let extend = extend(Path::new("no/run"));
    let message = refused(&[SHARED[0], SHARED[1], LORA, other]);
    assert_eq!(
        message,
        "tiny: tasks.semseg.head.hidden: expected 16 as in tasks.depth, which shares its decoder, \
         found 24"
    );
    let message = refused(&[SHARED[0], LORA, copies]);
    assert_eq!(
        message,
        "tiny: backbone.per_task: expected false beside tasks.semseg.head, whose decoder is shared \
         by tasks of one backbone, found true"
    );
    let message = refused(&[VMT, NORMALS, &extend]);
    assert_eq!(
        message,
        "tiny: tasks.normals.head: expected a head that is whole, as no task of the run that is \
         extended has a shared decoder, and what tasks share does not learn there, found one that \
         shares a decoder"
    );
}
