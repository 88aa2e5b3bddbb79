//! FAME-ViL against PyTorch's modules, and its counts.
//!
//! `fame_vil/make.py` wrote the file with torch 2.11.0. 1e-5 leaves room for the order of sums.
use crate::support::alone;
use std::path::Path;

use polyptych_adapters::methods::fame_vil::FameVilConfig;
use polyptych_adapters::{CrossAttention, Form, Fusion, Method};
use polyptych_formats::file;
use polyptych_tensor::{
    Activations, Device, Kind, LoadOptions, Plan, Site, SiteKind, Store, Tensor, Tensors,
};

const TASKS: [&str; 2] = ["one", "two"];

fn seen() -> Tensors {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fame_vil/seen.safetensors");
    file::load(&path).unwrap().tensors
}

/// The tensors below `prefix`, in `store`.
fn load(store: &Store, prefix: &str) {
    let own = seen().into_iter();
    let own = own.filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_owned(), t))).collect();
    store.load("PyTorch", &own, &LoadOptions::default()).unwrap();
}

fn close(found: &Tensor, expected: &Tensor) {
    let apart = (found - expected).abs().max().double_value(&[]);
    assert!(apart < 1e-5 * expected.abs().max().double_value(&[]).max(1.0), "{apart}");
}

fn fusion() -> Fusion {
    Fusion { tasks: vec!["one".into()], bottleneck: 3, scale: 1.0, num_heads: 2 }
}

fn plan() -> std::rc::Rc<dyn Plan> {
    let config = FameVilConfig { bottleneck: 3, ..FameVilConfig::default() };
    config.plan(&crate::support::tasks(&TASKS), Form::Adapted).unwrap()
}

fn mlp(dim: i64) -> Site {
    Site {
        path: "blocks.0.mlp".into(),
        kind: SiteKind::Mlp,
        in_features: dim,
        out_features: dim,
        bias: true,
        stage: 0,
        last_in_stage: true,
        last_stage: true,
    }
}

#[test]
fn adapters_of_tasks_are_pytorch_s() {
    let _alone = alone();
    let (store, seen) = (Store::new(Device::Cpu), seen());
    let path = plan().parallel(&store.root(), &mlp(8)).unwrap().unwrap();
    load(&store, "tsa.");
    let x = Activations::PerTask(seen["tsa_in"].shallow_clone());
    let added = path.forward(&x, &x, true).added;
    close(added.per_task().unwrap(), &seen["tsa_out"]);
}

#[test]
fn cross_attention_is_pytorch_s() {
    let _alone = alone();
    let (store, seen) = (Store::new(Device::Cpu), seen());
    let cross = CrossAttention::new(&store.root(), [8, 6], &fusion()).unwrap();
    load(&store, "xaa.");
    let keep = seen["keep"].to_kind(Kind::Bool);
    close(&cross.forward(&seen["v"], &seen["u"], Some(&keep)), &seen["xaa_out"]);
}

/// At the start both add nothing: every task is the plain tower, alone and fused.
#[test]
fn the_start_adds_nothing() {
    let _alone = alone();
    let (store, seen) = (Store::new(Device::Cpu), seen());
    let path = plan().parallel(&store.root(), &mlp(8)).unwrap().unwrap();
    let x = Activations::Shared(seen["v"].shallow_clone());
    let added = path.forward(&x, &x, true).added;
    assert_eq!(added.per_task().unwrap().abs().max().double_value(&[]), 0.0);
    let cross = CrossAttention::new(&store.root(), [8, 6], &fusion()).unwrap();
    assert!(cross.forward(&seen["v"], &seen["u"], None).equal(&seen["v"]));
}

/// A norm, both matrices with biases, and a factor for each task; the cross-attention has two norms
/// and four matrices beside them.
#[test]
fn parameters_are_counted() {
    let _alone = alone();
    let count = |store: &Store| store.tensors().iter().map(|(_, t)| t.numel() as i64).sum::<i64>();
    let store = Store::new(Device::Cpu);
    plan().parallel(&store.root(), &mlp(8)).unwrap();
    assert_eq!(count(&store), 2 * (2 * 8 + (3 * 8 + 3) + (8 * 3 + 8) + 1));
    let store = Store::new(Device::Cpu);
    CrossAttention::new(&store.root(), [8, 6], &fusion()).unwrap();
    let matrices = 2 * (8 * 8 + 8) + 2 * (8 * 6 + 8);
    assert_eq!(count(&store), 2 * 8 + 2 * 6 + matrices + (3 * 8 + 3) + (8 * 3 + 8) + 1);
}

#[test]
fn heads_that_do_not_divide_are_refused() {
    let _alone = alone();
    let three = Fusion { num_heads: 3, ..fusion() };
    let cross = CrossAttention::new(&Store::new(Device::Cpu).root(), [8, 6], &three);
    let message = cross.unwrap_err().to_string();
    assert_eq!(message, "num_heads: expected a divisor of 8, found 3");
}
