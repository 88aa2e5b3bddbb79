//! VMT-Adapter's counts, the gradient of a tied pair, and that it learns what decoders cannot.
use polyptych_adapters::methods::decoder_only::DecoderOnlyConfig;
use polyptych_adapters::{AdapterConfig, Form};
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, decay_groups};
use polyptych_tensor::{
    Activations, Device, Init, Kind, Parallel, Site, SiteKind, Store, Tensor, no_grad,
};
use serde_json::{Value, json};

use crate::support::{Built, adapter, alone, close, random, redraw, site, tasks};

const TASKS: [&str; 4] = ["human_parts", "normals", "sal", "semseg"];

fn vmt(bottleneck: Value, more: Value) -> AdapterConfig {
    let mut fields = json!({"method": "vmt_adapter", "bottleneck": bottleneck});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    adapter(fields)
}

/// The MLPs of Swin-T.
fn swin_tiny() -> impl Iterator<Item = Site> {
    [2, 2, 6, 2].into_iter().enumerate().flat_map(|(stage, depth)| {
        (0..depth).map(move |block| Site {
            path: format!("layers.{stage}.blocks.{block}.mlp"),
            stage,
            last_in_stage: block + 1 == depth,
            last_stage: stage == 3,
            ..site("", SiteKind::Mlp, [96 << stage, 96 << stage])
        })
    })
}

/// Parameters of the adapters of Swin-T: the trainable scales, and all others.
fn counts(config: &AdapterConfig) -> (usize, usize) {
    let store = Store::new(Device::Cpu);
    let plan = config.plan(&tasks(&TASKS), Form::Adapted).unwrap();
    let sites: Vec<Site> = swin_tiny().collect();
    for mlp in &sites {
        plan.parallel(&store.root().pp(&mlp.path), mlp).unwrap().unwrap();
    }
    plan.check(&sites, &[]).unwrap();
    let sum = |scale: bool| {
        let of = |(name, _): &(String, Tensor)| name.ends_with("vmt_scale") == scale;
        store.tensors().iter().filter(|entry| of(entry)).map(|(_, t)| t.numel()).sum()
    };
    (sum(true), sum(false))
}

/// The table of the method's notes, section 3: `(all blocks, taps)`.
#[test]
fn parameters_of_swin_tiny_are_as_many_as_computed() {
    let _alone = alone();
    let fixed = |k: i64| json!({"fixed": k});
    let by = |reduction: i64| json!({"reduction": reduction});
    for (bottleneck, projections, all, taps) in [
        (fixed(16), "separate", 147_456, 146_432),
        (fixed(32), "separate", 290_496, 288_448),
        (fixed(64), "separate", 576_576, 572_480),
        (by(8), "separate", 548_520, 545_544),
        (by(16), "separate", 276_468, 274_980),
        (by(32), "separate", 140_442, 139_698),
        (fixed(32), "tied", 149_184, 147_136),
        (by(16), "tied", 141_684, 140_196),
        (fixed(21), "tied", 99_420, 98_076),
    ] {
        for (ke_blocks, expected) in [("all", all), ("taps", taps)] {
            let more = json!({"projections": projections, "ke_blocks": ke_blocks});
            // The table leaves out the trainable scale of every tied adapter.
            let scales = if projections == "tied" { 12 } else { 0 };
            let found = counts(&vmt(bottleneck.clone(), more));
            assert_eq!(found, (scales, expected), "{bottleneck} {projections} {ke_blocks}");
        }
    }
    // S is [d, m], P [m, k], Q [k, m]; with k = 32 and m = 8 over the 12 blocks of width d.
    let core = json!({"projections": {"shared_core": {"rank": 8}}});
    let expected = 8 * 4416 + 12 * (2 * 8 * 32 + 32) + 4416 + 4 * 4 * 64;
    assert_eq!(counts(&vmt(fixed(32), core)), (0, expected));
}

#[test]
fn a_whole_swin_tiny_trains_as_many() {
    let _alone = alone();
    let backbone = polyptych_backbones::BackboneConfig::from_name("swin_tiny_patch4_window7_224");
    let plan = vmt(json!({"reduction": 16}), json!({"ke_blocks": "all"}))
        .plan(&tasks(&TASKS), Form::Adapted)
        .unwrap();
    let built = Built::new(&backbone.unwrap().with_num_classes(0), plan);
    let trainable: usize = built.store.trainable().iter().map(|(_, t)| t.numel()).sum();
    assert_eq!(trainable, 276_468);
}

/// One path of width 6 with a bottleneck of 4, all of whose parameters have an effect.
fn path(projections: &str) -> (Store, Box<dyn Parallel>) {
    let more = json!({"projections": projections, "scale": 0.7, "activation": "gelu"});
    let plan = vmt(json!({"fixed": 4}), more).plan(&tasks(&["sal"]), Form::Adapted).unwrap();
    let store = Store::new(Device::Cpu);
    let mlp = site("blocks.0.mlp", SiteKind::Mlp, [6, 6]);
    let path = plan.parallel(&store.root(), &mlp).unwrap().unwrap();
    redraw(&store, 0.5, |_| true);
    store.set_trainable(|_| true);
    (store, path)
}

fn parameter(store: &Store, name: &str) -> Tensor {
    store.tensors().into_iter().find(|(known, _)| known == name).unwrap().1
}

#[test]
fn a_tied_pair_learns_from_both_of_its_places() {
    let _alone = alone();
    let ((tied, tied_path), (untied, untied_path)) = (path("tied"), path("separate"));
    let down = parameter(&tied, "vmt_down.weight");
    no_grad(|| {
        for (name, tensor) in tied.tensors() {
            parameter(&untied, &name).copy_(&tensor);
        }
        parameter(&untied, "vmt_up.weight").copy_(&down.tr());
    });
    let (u, weight) = (Activations::Shared(random(&[3, 5, 6])), random(&[3, 5, 6]));
    let loss = |path: &dyn Parallel| {
        let out = path.forward(&u, &u, true);
        let z = out.added.into_shared() + out.aside.unwrap().select(0, 0);
        (z * &weight).to_kind(Kind::Double).sum(Kind::Double)
    };
    loss(tied_path.as_ref()).backward();
    loss(untied_path.as_ref()).backward();
    let grad = |name: &str| parameter(&untied, name).grad();
    let expected = grad("vmt_down.weight") + grad("vmt_up.weight").tr();
    close("tied gradient", &down.grad(), &expected, 1e-5);
    let direction = random(&[4, 6]);
    let at = |step: f64| {
        let _ = no_grad(|| down.shallow_clone().g_add_(&(&direction * step)));
        let value = no_grad(|| loss(tied_path.as_ref())).double_value(&[]);
        let _ = no_grad(|| down.shallow_clone().g_sub_(&(&direction * step)));
        value
    };
    let slope = (at(5e-3) - at(-5e-3)) / 1e-2;
    let expected = (down.grad() * &direction).sum(Kind::Double).double_value(&[]);
    let scale = (down.grad().norm() * direction.norm()).double_value(&[]);
    let relative = (slope - expected).abs() / scale;
    println!("finite difference: {relative:.1e} of the largest slope");
    assert!(relative < 1e-3, "{slope} {expected}");
}

/// Two layers per task that read both levels at the finer one's size.
struct Decoder {
    hidden: Tensor,
    output: Tensor,
}

impl Decoder {
    fn new(store: &Store, task: &str) -> Self {
        let scope = store.root().pp("heads").pp(task);
        let hidden = scope.param("hidden", &[16, 36], Init::fan_in(36)).unwrap();
        Self { hidden, output: scope.param("output", &[1, 16], Init::fan_in(16)).unwrap() }
    }

    fn forward(&self, levels: [Tensor; 2]) -> Tensor {
        let [fine, coarse] = levels;
        let coarse = coarse.repeat_interleave_self_int(2, 1, None);
        let coarse = coarse.repeat_interleave_self_int(2, 2, None);
        let none = None::<Tensor>;
        let x = Tensor::cat(&[fine, coarse], -1).linear(&self.hidden, none.as_ref());
        x.relu().linear(&self.output, none.as_ref())
    }
}

/// Mean squared error of every task before and after 200 steps on 8 images.
fn overfit(config: &AdapterConfig, image: &Tensor, targets: &Tensor) -> [Vec<f64>; 2] {
    polyptych_tensor::manual_seed(5);
    let plan = config.plan(&tasks(&TASKS), Form::Adapted).unwrap();
    let built = Built::new(&crate::support::swin(), plan);
    redraw(&built.store, 0.3, |name| {
        name.ends_with("weight") && !name.contains("vmt_") && !name.contains("norm")
    });
    let decoders = TASKS.map(|task| Decoder::new(&built.store, task));
    let is_own = |name: &str| built.parameters.iter().any(|own| own.adapter && own.name == name);
    built.store.set_trainable(|name| name.starts_with("heads.") || is_own(name));
    let mut optimiser =
        AdamW::new(AdamWConfig::default(), decay_groups(built.store.trainable(), 0.0));
    let losses = || -> Vec<Tensor> {
        let out = built.backbone.forward_intermediates(image, true).unwrap();
        let one = |(index, decoder): (usize, &Decoder)| {
            let levels = [0, 1].map(|level: usize| out.levels[level].task(index as i64));
            let error = decoder.forward(levels) - targets.select(0, index as i64);
            error.square().mean(Kind::Float)
        };
        decoders.iter().enumerate().map(one).collect()
    };
    let values = |losses: &[Tensor]| losses.iter().map(|l| l.double_value(&[])).collect();
    let first = values(&losses());
    for _ in 0..200 {
        built.store.zero_grad();
        losses().into_iter().reduce(|a, b| a + b).unwrap().backward();
        optimiser.step(1e-2).unwrap();
    }
    [first, values(&losses())]
}

#[test]
fn adapters_fit_few_images_better_than_decoders_alone() {
    let _alone = alone();
    let image = random(&[8, 3, 32, 32]);
    // Smooth maps that follow from nothing in the image: they have to be learned by heart.
    let targets = random(&[32, 1, 2, 2]).upsample_bilinear2d([8, 8], false, None, None);
    let targets = targets.view([4, 8, 8, 8, 1]);
    let adapted = vmt(json!({"fixed": 6}), json!({"ke_blocks": "all"}));
    let [first, with] = overfit(&adapted, &image, &targets);
    let [_, without] = overfit(&DecoderOnlyConfig {}.into(), &image, &targets);
    println!("first {first:.3?}, decoders {without:.3?}, with adapters {with:.3?}");
    for (task, name) in TASKS.iter().enumerate() {
        assert!(with[task] < 0.2 * first[task], "{name}");
    }
    // Over all tasks: the noise of one alone can exceed what the adapters gain it.
    let [with, without] = [with, without].map(|errors| errors.iter().sum::<f64>());
    assert!(with < 0.7 * without, "{with} {without}");
}
