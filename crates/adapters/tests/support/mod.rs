//! What the tests of this crate share: small backbones, single layers, and comparisons.
#![allow(clippy::unwrap_used)]
// Every test binary compiles this module and none needs all of it.
#![allow(dead_code)]

use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use polyptych_adapters::{AdapterConfig, Form};
use polyptych_backbones::{
    Backbone, BackboneConfig, Intermediates, Options, SwinConfig, VitConfig,
};
use polyptych_formats::{TensorFile, file};
use polyptych_tensor::{
    Device, Kind, LoadOptions, Owner, Parameter, Plan, Projection, Pyramid, Site, SiteKind, Store,
    Tensor, Tensors, manual_seed, no_grad,
};
use serde_json::Value;

/// Largest difference that the order of sums may make in one float32 layer or tiny backbone.
pub(crate) const TOLERANCE: f64 = 1e-5;

/// Tasks of all tests, in the order of the task axis.
pub(crate) const TASKS: [&str; 3] = ["semseg", "normals", "edge"];

/// Seeds LibTorch's generator, which is the process's, and keeps other tests from drawing meanwhile:
/// what a test draws is the same in every run.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static DRAWING: Mutex<()> = Mutex::new(());
    let guard = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    manual_seed(0);
    guard
}

pub(crate) fn tasks(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

pub(crate) fn adapter(fields: Value) -> AdapterConfig {
    serde_json::from_value(fields).unwrap()
}

/// Two stages of two blocks; the second blocks shift their windows, the last stage has one window.
pub(crate) fn swin_config() -> SwinConfig {
    SwinConfig {
        img_size: [32, 32],
        num_classes: 0,
        embed_dim: 12,
        depths: vec![2, 2],
        num_heads: vec![1, 2],
        mlp_ratio: 2.0,
        drop_path_rate: 0.0,
        ..SwinConfig::micro()
    }
}

pub(crate) fn swin() -> BackboneConfig {
    swin_config().into()
}

/// Three stages of one block each.
pub(crate) fn vit_config() -> VitConfig {
    VitConfig {
        img_size: [32, 32],
        num_classes: 0,
        embed_dim: 12,
        depth: 3,
        num_heads: 2,
        mlp_ratio: 2.0,
        ..VitConfig::micro()
    }
}

pub(crate) fn vit() -> BackboneConfig {
    vit_config().into()
}

/// A backbone that hands out levels only, and who owns its parameters.
pub(crate) struct Built {
    pub(crate) store: Store,
    pub(crate) plan: Rc<dyn Plan>,
    pub(crate) backbone: Box<dyn Backbone>,
    pub(crate) sites: Vec<Site>,
    pub(crate) parameters: Vec<Parameter>,
}

impl Built {
    /// With `config` at the projections of `backbone`, and its trainable set.
    pub(crate) fn adapted(backbone: &BackboneConfig, config: &AdapterConfig, form: Form) -> Self {
        Self::new(backbone, config.plan(&tasks(&TASKS), form).unwrap())
    }

    /// Without adapter, but with the levels that another plan would hand out.
    pub(crate) fn plain(backbone: &BackboneConfig, pyramid: Pyramid) -> Self {
        Self::new(backbone, Rc::new(Plainly(pyramid)))
    }

    pub(crate) fn new(backbone: &BackboneConfig, plan: Rc<dyn Plan>) -> Self {
        Self::with(backbone, plan, Options { features_only: true, ..Options::default() })
    }

    pub(crate) fn with(backbone: &BackboneConfig, plan: Rc<dyn Plan>, options: Options) -> Self {
        let store = Store::new(Device::Cpu);
        let built = backbone.build(&store.root(), plan.as_ref(), options).unwrap();
        plan.set_trainable(&store);
        Self {
            store,
            plan,
            backbone: built.backbone,
            sites: built.sites,
            parameters: built.parameters,
        }
    }

    /// Its tensors with everything merged that can be.
    pub(crate) fn merged(&self) -> Tensors {
        self.plan.merge(&self.sites, &self.tensors()).unwrap()
    }

    /// The task that alone depends on the parameter `name`.
    pub(crate) fn owner(&self, name: &str) -> Option<&Owner> {
        self.parameters.iter().find(|parameter| parameter.name == name)?.owner.as_ref()
    }

    pub(crate) fn tensors(&self) -> Tensors {
        self.store.tensors().into_iter().collect()
    }

    /// Loads `tensors`, all of which must be there and be used.
    pub(crate) fn load(&self, tensors: &Tensors) {
        self.store.load("test", tensors, &LoadOptions::default()).unwrap();
    }

    pub(crate) fn eval(&self, image: &Tensor) -> Intermediates {
        no_grad(|| self.backbone.forward_intermediates(image, false)).unwrap()
    }
}

/// timm's own layers with the levels of another plan.
#[derive(Debug)]
struct Plainly(Pyramid);

impl Plan for Plainly {
    fn pyramid(&self) -> Pyramid {
        self.0
    }
}

/// A projection in the last block of a stage that is not the last.
pub(crate) fn site(path: &str, kind: SiteKind, [in_features, out_features]: [i64; 2]) -> Site {
    Site {
        path: path.into(),
        kind,
        in_features,
        out_features,
        bias: true,
        stage: 0,
        last_in_stage: true,
        last_stage: false,
    }
}

/// The projection of `config` at `site`, with its parameters at the top of the store.
pub(crate) fn layer(
    config: &AdapterConfig,
    tasks: &[String],
    site: &Site,
) -> (Store, Box<dyn Projection>) {
    let store = Store::new(Device::Cpu);
    let plan = config.plan(tasks, Form::Adapted).unwrap();
    let projection = plan.projection(&store.root(), site).unwrap();
    (store, projection)
}

pub(crate) fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

pub(crate) fn image() -> Tensor {
    random(&[2, 3, 32, 32])
}

/// Draws anew every parameter whose name `choose` accepts.
pub(crate) fn redraw(store: &Store, std: f64, choose: impl Fn(&str) -> bool) {
    for (name, mut tensor) in store.tensors() {
        if choose(&name) {
            no_grad(|| tensor.copy_(&(random(&tensor.size()) * std)));
        }
    }
}

/// Every tensor as it is now, whatever happens to the store.
pub(crate) fn snapshot(store: &Store) -> Tensors {
    store.tensors().into_iter().map(|(name, tensor)| (name, tensor.detach().copy())).collect()
}

pub(crate) fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

/// Asserts that `found` is `expected` but for the order of sums.
pub(crate) fn close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    let difference = difference(found, expected);
    println!("{what}: largest difference {difference:.1e}");
    assert!(difference <= tolerance, "{what}: {difference}");
}

pub(crate) fn oracle(name: &str) -> TensorFile {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles");
    file::load(&folder.join(format!("{name}.safetensors"))).unwrap()
}

/// The tensors of `file` below `prefix`, without it.
pub(crate) fn below(file: &TensorFile, prefix: &str) -> Tensors {
    let strip = |(name, tensor): (&String, &Tensor)| {
        Some((name.strip_prefix(prefix)?.to_owned(), tensor.shallow_clone()))
    };
    file.tensors.iter().filter_map(strip).collect()
}
