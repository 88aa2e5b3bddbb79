//! How task streams run through a backbone, with a plan that makes them as MTLoRA does.

use std::cell::RefCell;

use polyptych_backbones::{Backbone, BackboneConfig, FeatureInfo, Options};
use polyptych_tensor::{
    Activations, Device, Init, Kind, Linear, ParameterKinds, Plan, Projection, Pyramid, Result,
    Scope, Site, SiteKind, Store, Tensor, no_grad,
};

const TASKS: i64 = 2;

/// Adds an offset per task in the last block of each stage, behind everything but `qkv`.
#[derive(Debug)]
struct Offsets {
    pyramid: Pyramid,
    keeps_streams: bool,
    sites: RefCell<Vec<Site>>,
}

#[derive(Debug)]
struct Offset {
    linear: Linear,
    /// `[tasks, 1, 1, out_features]`.
    offset: Option<Tensor>,
}

impl Offsets {
    fn new(pyramid: Pyramid) -> Self {
        Self { pyramid, keeps_streams: false, sites: RefCell::default() }
    }
}

impl Plan for Offsets {
    fn projection(&self, scope: &Scope, site: &Site) -> Result<Box<dyn Projection>> {
        self.sites.borrow_mut().push(site.clone());
        let shape = [TASKS, 1, 1, site.out_features];
        let own = site.last_in_stage && site.kind != SiteKind::Qkv;
        let offset = own.then(|| scope.param("offset", &shape, Init::Normal(1.0))).transpose()?;
        let linear = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        Ok(Box::new(Offset { linear, offset }))
    }

    fn pyramid(&self) -> Pyramid {
        self.pyramid
    }

    fn keeps_streams(&self) -> bool {
        self.keeps_streams
    }

    fn trains(&self, _kinds: &ParameterKinds) -> bool {
        true
    }
}

impl Projection for Offset {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let y = x.map(|t| self.linear.forward(t));
        let Some(offset) = &self.offset else { return y };
        let base = match y.per_task() {
            Some(streams) => streams.shallow_clone(),
            None => y.expect_shared().unsqueeze(0),
        };
        let ones = vec![1; base.dim() - 2];
        let shape = [&[TASKS], ones.as_slice(), &[-1]].concat();
        y.with_tasks(base + offset.view(shape.as_slice()))
    }
}

fn build(name: &str, plan: &Offsets) -> (Store, Box<dyn Backbone>) {
    let store = Store::new(Device::Cpu);
    let config = BackboneConfig::from_name(name).unwrap();
    let options = Options { features_only: true, ..Options::default() };
    let backbone = config.init(&store.root().pp("backbone"), plan, options).unwrap();
    (store, backbone)
}

fn image() -> Tensor {
    Tensor::randn([1, 3, 64, 64], (Kind::Float, Device::Cpu))
}

#[test]
fn the_plan_is_told_every_site() {
    let plan = Offsets::new(Pyramid::AfterBlocks);
    build("swin_micro_patch4_window4_128", &plan);
    let sites = plan.sites.borrow();
    assert_eq!(sites.len(), 12 * 4 + 3);
    let site = |path: &str| sites.iter().find(|site| site.path == path).unwrap();
    let reduction = Site {
        path: "layers.1.downsample.reduction".into(),
        kind: SiteKind::Reduction,
        in_features: 128,
        out_features: 64,
        bias: false,
        stage: 0,
        last_in_stage: false,
        last_stage: false,
    };
    assert_eq!(*site(&reduction.path), reduction);
    let fc1 = Site {
        path: "layers.3.blocks.1.mlp.fc1".into(),
        kind: SiteKind::Fc1,
        in_features: 256,
        out_features: 1024,
        bias: true,
        stage: 3,
        last_in_stage: true,
        last_stage: true,
    };
    assert_eq!(*site(&fc1.path), fc1);
    assert_eq!(sites.iter().filter(|site| site.last_in_stage).count(), 4 * 4);
    assert!(!site("layers.2.blocks.4.attn.qkv").last_in_stage);
}

#[test]
fn a_vits_quarters_are_its_stages() {
    let plan = Offsets::new(Pyramid::AfterBlocks);
    let (_, vit) = build("vit_micro_patch8_128", &plan);
    let sites = plan.sites.borrow();
    let ends = sites.iter().filter(|site| site.last_in_stage && site.kind == SiteKind::Fc2);
    let ends: Vec<(&str, usize)> = ends.map(|site| (site.path.as_str(), site.stage)).collect();
    let expected = [1, 2, 4, 5].map(|block| format!("blocks.{block}.mlp.fc2"));
    assert_eq!(ends, [0, 1, 2, 3].map(|stage| (expected[stage].as_str(), stage)));
    let modules: Vec<&str> = vit.feature_info().iter().map(|i| i.module.as_str()).collect();
    assert_eq!(modules, ["blocks.1", "blocks.2", "blocks.4", "blocks.5"]);
    let out = vit.forward_intermediates(&image(), false).unwrap();
    for level in &out.levels {
        assert_eq!(level.size(), [1, 8, 8, 160]);
        assert_eq!(level.per_task().unwrap().size(), [TASKS, 1, 8, 8, 160]);
    }
}

/// Sizes of the task streams of every level.
fn sizes(levels: &[Activations]) -> Vec<Vec<i64>> {
    levels.iter().map(|level| level.per_task().unwrap().size()).collect()
}

#[test]
fn levels_leave_before_or_behind_the_merging() {
    let info = |num_chs, reduction, module: &str| FeatureInfo {
        num_chs,
        reduction,
        module: module.into(),
    };
    let (_, swin) = build("swin_micro_patch4_window4_128", &Offsets::new(Pyramid::AfterBlocks));
    let out = swin.forward_intermediates(&image(), false).unwrap();
    let expected = [[2, 1, 16, 16, 32], [2, 1, 8, 8, 64], [2, 1, 4, 4, 128], [2, 1, 2, 2, 256]];
    assert_eq!(sizes(&out.levels), expected);
    assert_eq!(swin.feature_info()[0], info(32, 4, "layers.0"));

    let (_, swin) = build("swin_micro_patch4_window4_128", &Offsets::new(Pyramid::AfterMerging));
    let out = swin.forward_intermediates(&image(), false).unwrap();
    let expected = [[2, 1, 8, 8, 64], [2, 1, 4, 4, 128], [2, 1, 2, 2, 256], [2, 1, 2, 2, 256]];
    assert_eq!(sizes(&out.levels), expected);
    assert_eq!(swin.feature_info()[0], info(64, 8, "layers.1.downsample"));
    assert_eq!(swin.feature_info()[3], info(256, 32, "layers.3"));
}

#[test]
fn task_streams_enter_the_next_stage_only_if_the_plan_keeps_them() {
    for (pyramid, keeps_streams) in [
        (Pyramid::AfterBlocks, false),
        (Pyramid::AfterBlocks, true),
        (Pyramid::AfterMerging, false),
        (Pyramid::AfterMerging, true),
    ] {
        for name in ["swin_micro_patch4_window4_128", "vit_micro_patch8_128"] {
            let plan = Offsets { keeps_streams, ..Offsets::new(pyramid) };
            let (store, backbone) = build(name, &plan);
            let image = image();
            let before = backbone.forward_intermediates(&image, false).unwrap();
            change_offsets_of_the_first_level(&store);
            let after = backbone.forward_intermediates(&image, false).unwrap();
            let pairs = before.levels.iter().zip(&after.levels);
            for (index, (before, after)) in pairs.enumerate() {
                assert!(
                    before.expect_shared().equal(after.expect_shared()),
                    "{name}: shared stream {index}"
                );
                let same = before.task(1).equal(&after.task(1));
                assert_eq!(
                    same,
                    index > 0 && !keeps_streams,
                    "{name}: task streams of level {index}"
                );
            }
            assert!(before.features.expect_shared().equal(after.features.expect_shared()));
        }
    }
}

fn change_offsets_of_the_first_level(store: &Store) {
    let first = ["backbone.layers.0.", "backbone.blocks.1."];
    for (name, mut tensor) in store.tensors() {
        if name.ends_with("offset") && first.iter().any(|prefix| name.starts_with(prefix)) {
            no_grad(|| {
                let _ = tensor.g_add_scalar_(1.0);
            });
        }
    }
}

#[test]
fn offsets_of_zero_leave_every_stream_the_plain_one() {
    let (store, swin) =
        build("swin_micro_patch4_window4_128", &Offsets::new(Pyramid::AfterMerging));
    for (name, mut tensor) in store.tensors() {
        if name.ends_with("offset") {
            no_grad(|| {
                let _ = tensor.zero_();
            });
        }
    }
    let out = swin.forward_intermediates(&image(), false).unwrap();
    for level in &out.levels {
        for task in 0..TASKS {
            let difference = (level.task(task) - level.expect_shared()).abs().max();
            assert!(difference.double_value(&[]) < 1e-5);
        }
    }
}
