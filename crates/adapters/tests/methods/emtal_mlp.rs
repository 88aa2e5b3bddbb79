//! The MoEfied MLP of EMTAL against its equations.
//!
//! `oracles/emtal_mlp.safetensors` holds what PyTorch 2.11.0 made of the equations in float32 on
//! the CPU with seed 13: width 24, 64 hidden units, 8 experts, rank 4, temperature 5.
use std::rc::Rc;

use polyptych_adapters::{Form, KMeansConfig, construct_experts, moefy};
use polyptych_backbones::BackboneConfig;
use polyptych_formats::TensorFile;
use polyptych_tensor::{
    Activations, Device, Gate, LoadOptions, Plan, Projection, Pyramid, Site, SiteKind, Store,
    Tensor, Tensors, no_grad,
};
use serde_json::json;

use crate::support::{
    Built, TOLERANCE, adapter, alone, close, difference, image, oracle, redraw, site,
};

/// One MLP, put together as a backbone does.
struct Mlp {
    store: Store,
    plan: Rc<dyn Plan>,
    fc1: Box<dyn Projection>,
    gate: Option<Box<dyn Gate>>,
    fc2: Box<dyn Projection>,
    sites: [Site; 2],
}

impl Mlp {
    fn new(form: Form) -> Self {
        let config = adapter(json!({"method": "emtal", "num_experts": 8}));
        let plan = config.plan(&[], form).unwrap();
        let store = Store::new(Device::Cpu);
        let at = |path: &str, kind, features| site(path, kind, features);
        let (fc1, fc2) = (at("fc1", SiteKind::Fc1, [24, 64]), at("fc2", SiteKind::Fc2, [64, 24]));
        Self {
            fc1: plan.projection(&store.root().pp("fc1"), &fc1).unwrap(),
            gate: plan.gate(&store.root(), &fc1).unwrap(),
            fc2: plan.projection(&store.root().pp("fc2"), &fc2).unwrap(),
            sites: [fc1, fc2],
            store,
            plan,
        }
    }

    fn load(&self, tensors: &Tensors) {
        self.store.load("oracle", tensors, &LoadOptions::default()).unwrap();
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = Activations::Shared(x.shallow_clone());
        let hidden = self.fc1.forward(&x, false);
        let hidden = match &self.gate {
            Some(gate) => gate.forward(&x, &hidden, false),
            None => hidden,
        };
        no_grad(|| self.fc2.forward(&hidden.map(|t| t.gelu("none")), false).into_shared())
    }
}

/// The oracle's weights under our names; its factors are stored the other way round.
fn weights(file: &TensorFile) -> Tensors {
    let weight = |name: &str| file.tensors[&format!("weights.{name}")].shallow_clone();
    let mut tensors = Tensors::new();
    for fc in ["fc1", "fc2"] {
        for (ours, theirs) in [("lora_A", "a"), ("lora_B", "b")] {
            let factor = weight(&format!("lora_{fc}_{theirs}")).transpose(0, 1);
            tensors.insert(format!("{fc}.{ours}.weight"), factor.contiguous());
        }
        for name in ["weight", "bias"] {
            tensors.insert(format!("{fc}.{name}"), weight(&format!("{fc}.{name}")));
        }
    }
    tensors.insert("lora_router.weight".into(), weight("router.weight"));
    tensors
}

#[test]
fn the_router_fades_as_the_equations_say() {
    let _alone = alone();
    let file = oracle("emtal_mlp");
    let (mlp, x) = (Mlp::new(Form::Adapted), &file.tensors["input.x"]);
    mlp.load(&weights(&file));
    // alpha = 2 n / N
    for (alpha, step) in [("0.0", 0), ("0.3", 15), ("1.0", 50)] {
        mlp.plan.set_progress(step, 100);
        let name = format!("output.alpha{alpha}");
        close(&name, &mlp.forward(x), &file.tensors[&name], TOLERANCE);
    }
}

#[test]
fn the_merged_layer_is_a_plain_one() {
    let _alone = alone();
    let file = oracle("emtal_mlp");
    let (mlp, merged) = (Mlp::new(Form::Adapted), Mlp::new(Form::Merged));
    mlp.load(&weights(&file));
    let tensors: Tensors = mlp.store.tensors().into_iter().collect();
    merged.load(&mlp.plan.merge(&mlp.sites, &tensors).unwrap());
    assert_eq!(merged.store.tensors().len(), 4);
    let x = &file.tensors["input.x"];
    close("merged", &merged.forward(x), &file.tensors["output.merged"], TOLERANCE);
    mlp.plan.set_progress(1, 4);
    let early = difference(&mlp.forward(x), &file.tensors["output.merged"]);
    assert!(early > 1e-3, "the router must matter half-way: {early}");
}

/// methods of EMTAL, section 11: everything but the head of `C` classes, `769 C` numbers.
#[test]
fn trainable_numbers_are_those_of_the_paper() {
    let _alone = alone();
    let vit = BackboneConfig::from_name("vit_base_patch16_224").unwrap().with_num_classes(0);
    for (r, experts, expected) in [
        (1, 16, 754_774),
        (2, 16, 902_230),
        (4, 16, 1_197_142),
        (4, 1, 1_058_902),
        (4, 192, 2_819_158),
    ] {
        let config = adapter(json!({"method": "emtal", "r": r, "num_experts": experts}));
        let built = Built::adapted(&vit, &config, Form::Adapted);
        let count = |(_, t): &(String, Tensor)| t.numel();
        let found: usize = built.store.trainable().iter().map(count).sum();
        assert_eq!(found + 598 * 769, expected, "r {r}, {experts} experts");
    }
}

#[test]
fn a_router_without_effect_is_lora_without_a_router() {
    let _alone = alone();
    let emtal = adapter(json!({"method": "emtal", "r": 2, "num_experts": 4}));
    let targets = ["qkv", "proj", "fc1", "fc2"];
    let lora =
        adapter(json!({"method": "lora", "r": 2, "lora_alpha": 2.0, "target_modules": targets}));
    let emtal = Built::adapted(&crate::support::vit(), &emtal, Form::Adapted);
    let lora = Built::adapted(&crate::support::vit(), &lora, Form::Adapted);
    redraw(&emtal.store, 0.3, |name| name.contains("lora_"));
    let mut tensors = emtal.tensors();
    tensors.retain(|name, _| !name.contains("lora_router"));
    lora.load(&tensors);
    let image = image();
    let plain = lora.eval(&image).features.into_shared();
    let routed = emtal.eval(&image).features.into_shared();
    assert!(difference(&routed, &plain) > 1e-3);
    emtal.plan.set_progress(1, 1);
    assert!(emtal.eval(&image).features.expect_shared().equal(&plain));
}

#[test]
fn a_backbone_sorted_by_experts_computes_what_it_did() {
    let _alone = alone();
    for backbone in [crate::support::vit(), crate::support::swin()] {
        let built = Built::plain(&backbone, Pyramid::AfterBlocks);
        redraw(&built.store, 0.3, |name| !name.contains("norm"));
        let image = image();
        let before = built.eval(&image).features.into_shared();
        let kmeans = KMeansConfig { restarts: 2, ..KMeansConfig::default() };
        let layers = construct_experts(&built.tensors(), 4, &kmeans, |_, _| {}).unwrap();
        let moved = layers.iter().any(|layer| !layer.order.is_sorted());
        assert!(moved, "an order that changes nothing proves nothing");
        built.load(&moefy(&built.tensors(), &layers).unwrap());
        let after = built.eval(&image).features.into_shared();
        let largest = before.abs().max().double_value(&[]).max(1.0);
        close("features", &(after / largest), &(before / largest), TOLERANCE);
    }
}

#[test]
fn every_router_of_a_backbone_says_what_it_saw() {
    let _alone = alone();
    let config = adapter(json!({"method": "emtal", "num_experts": 4}));
    for (backbone, routers) in [(crate::support::vit(), 3), (crate::support::swin(), 4)] {
        let built = Built::adapted(&backbone, &config, Form::Adapted);
        let _ = built.eval(&image());
        let observed = built.plan.observed();
        assert_eq!(observed.len(), 2 * routers);
        for (name, values) in &observed {
            let width = if name.ends_with(".load") { 4 } else { 1 };
            assert_eq!(values.size(), [2, width], "{name}");
        }
        assert!(observed.iter().any(|(name, _)| name.ends_with("blocks.1.mlp.load")));
        assert!(built.plan.observed().is_empty(), "what was taken is gone");
    }
}
