//! A small archive in the published layout, of which every number says where it lay.

use polyptych_tensor::{Device, Kind, LoadOptions, LoadReport, NoAdapter, Store, Tensor, Tensors};

use super::augreg_vit;
use crate::blocks::act_layer::ActLayer;
use crate::{Backbone, GlobalPool, Options, VitConfig};

const DIM: usize = 32;
const HEADS: usize = 2;
const HEAD_DIM: usize = DIM / HEADS;
const HIDDEN: usize = 48;
const PATCH: usize = 4;
const CLASSES: usize = 7;

const CONFIG: VitConfig = VitConfig {
    img_size: [12, 8],
    patch_size: PATCH as i64,
    in_chans: 3,
    num_classes: CLASSES as i64,
    embed_dim: DIM as i64,
    depth: 2,
    num_heads: HEADS as i64,
    mlp_ratio: 1.5,
    swiglu_mlp: false,
    qkv_bias: true,
    init_values: None,
    class_token: true,
    reg_tokens: 0,
    no_embed_class: false,
    pre_norm: false,
    distilled: false,
    global_pool: GlobalPool::Token,
    fc_norm: None,
    norm_eps: 1e-6,
    act_layer: ActLayer::Gelu,
    drop_path_rate: 0.0,
};

/// Names and shapes of the file.
fn layout() -> Vec<(String, Vec<usize>)> {
    let mut all: Vec<(String, Vec<usize>)> = vec![
        ("cls".into(), vec![1, 1, DIM]),
        ("embedding/bias".into(), vec![DIM]),
        ("embedding/kernel".into(), vec![PATCH, PATCH, 3, DIM]),
        ("Transformer/posembed_input/pos_embedding".into(), vec![1, 7, DIM]),
        ("Transformer/encoder_norm/scale".into(), vec![DIM]),
        ("Transformer/encoder_norm/bias".into(), vec![DIM]),
        ("head/kernel".into(), vec![DIM, CLASSES]),
        ("head/bias".into(), vec![CLASSES]),
        ("pre_logits/kernel".into(), vec![DIM, DIM]),
        ("pre_logits/bias".into(), vec![DIM]),
    ];
    for block in 0..2 {
        let mut add = |name: &str, shape: &[usize]| {
            all.push((format!("Transformer/encoderblock_{block}/{name}"), shape.to_vec()));
        };
        for norm in ["LayerNorm_0", "LayerNorm_2"] {
            add(&format!("{norm}/scale"), &[DIM]);
            add(&format!("{norm}/bias"), &[DIM]);
        }
        let attention = "MultiHeadDotProductAttention_1";
        for part in ["query", "key", "value"] {
            add(&format!("{attention}/{part}/kernel"), &[DIM, HEADS, HEAD_DIM]);
            add(&format!("{attention}/{part}/bias"), &[HEADS, HEAD_DIM]);
        }
        add(&format!("{attention}/out/kernel"), &[HEADS, HEAD_DIM, DIM]);
        add(&format!("{attention}/out/bias"), &[DIM]);
        add("MlpBlock_3/Dense_0/kernel", &[DIM, HIDDEN]);
        add("MlpBlock_3/Dense_0/bias", &[HIDDEN]);
        add("MlpBlock_3/Dense_1/kernel", &[HIDDEN, DIM]);
        add("MlpBlock_3/Dense_1/bias", &[DIM]);
    }
    all
}

/// Element `at` of the tensor `name`: no two of the file are alike.
fn value(name: &str, at: usize) -> f32 {
    let index = layout().iter().position(|(known, _)| known == name).unwrap();
    (index * 4096 + at) as f32 * 1e-6 - 0.05
}

/// The element at `index` of the tensor `name`, as the file's row-major order has it.
fn at(name: &str, index: &[usize]) -> f32 {
    let (_, shape) = layout().into_iter().find(|(known, _)| known == name).unwrap();
    value(name, index.iter().zip(&shape).fold(0, |at, (i, extent)| at * extent + i))
}

fn file() -> Tensors {
    let tensor = |name: &str, shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| value(name, i)).collect();
        let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        Tensor::from_slice(&values).view(shape.as_slice())
    };
    layout().into_iter().map(|(name, shape)| (name.clone(), tensor(&name, &shape))).collect()
}

fn renamed() -> Tensors {
    augreg_vit(file()).unwrap()
}

/// Compares every element with the one that `origin` says, given the index in timm's layout.
fn compare(name: &str, shape: &[usize], origin: impl Fn(&[usize]) -> f32) {
    let tensors = renamed();
    let tensor = &tensors[name];
    let extents: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    assert_eq!(tensor.size(), extents, "{name}");
    let values = Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
    for (flat, value) in values.into_iter().enumerate() {
        let mut rest = flat;
        let mut index = vec![0; shape.len()];
        for (i, extent) in index.iter_mut().zip(shape).rev() {
            *i = rest % extent;
            rest /= extent;
        }
        assert_eq!(value, origin(&index), "{name} {index:?}");
    }
}

#[test]
fn attention_is_joined_from_heads() {
    let block = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1";
    let part = |o: usize| ["query", "key", "value"][o / DIM];
    let head = |o: usize| [o % DIM / HEAD_DIM, o % HEAD_DIM];
    compare("blocks.1.attn.qkv.weight", &[3 * DIM, DIM], |i| {
        let [h, d] = head(i[0]);
        at(&format!("{block}/{}/kernel", part(i[0])), &[i[1], h, d])
    });
    compare("blocks.1.attn.qkv.bias", &[3 * DIM], |i| {
        at(&format!("{block}/{}/bias", part(i[0])), &head(i[0]))
    });
    compare("blocks.1.attn.proj.weight", &[DIM, DIM], |i| {
        let [h, d] = head(i[1]);
        at(&format!("{block}/out/kernel"), &[h, d, i[0]])
    });
    compare("blocks.1.attn.proj.bias", &[DIM], |i| at(&format!("{block}/out/bias"), i));
}

#[test]
fn other_kernels_are_transposed() {
    compare("patch_embed.proj.weight", &[DIM, 3, PATCH, PATCH], |i| {
        at("embedding/kernel", &[i[2], i[3], i[1], i[0]])
    });
    compare("head.weight", &[CLASSES, DIM], |i| at("head/kernel", &[i[1], i[0]]));
    let block = "Transformer/encoderblock_0/MlpBlock_3";
    compare("blocks.0.mlp.fc1.weight", &[HIDDEN, DIM], |i| {
        at(&format!("{block}/Dense_0/kernel"), &[i[1], i[0]])
    });
    compare("blocks.0.mlp.fc2.weight", &[DIM, HIDDEN], |i| {
        at(&format!("{block}/Dense_1/kernel"), &[i[1], i[0]])
    });
}

#[test]
fn the_rest_is_copied() {
    compare("cls_token", &[1, 1, DIM], |i| at("cls", i));
    let positions = "Transformer/posembed_input/pos_embedding";
    compare("pos_embed", &[1, 7, DIM], |i| at(positions, i));
    compare("patch_embed.proj.bias", &[DIM], |i| at("embedding/bias", i));
    compare("norm.weight", &[DIM], |i| at("Transformer/encoder_norm/scale", i));
    compare("norm.bias", &[DIM], |i| at("Transformer/encoder_norm/bias", i));
    compare("head.bias", &[CLASSES], |i| at("head/bias", i));
    let block = "Transformer/encoderblock_0";
    for (ours, theirs) in [("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_2")] {
        for (our, their) in [("weight", "scale"), ("bias", "bias")] {
            let origin = format!("{block}/{theirs}/{their}");
            compare(&format!("blocks.0.{ours}.{our}"), &[DIM], |i| at(&origin, i));
        }
    }
    compare("blocks.0.mlp.fc1.bias", &[HIDDEN], |i| {
        at(&format!("{block}/MlpBlock_3/Dense_0/bias"), i)
    });
    compare("blocks.0.mlp.fc2.bias", &[DIM], |i| {
        at(&format!("{block}/MlpBlock_3/Dense_1/bias"), i)
    });
}

fn load(config: &VitConfig, allow_unused: &[&str]) -> (Tensor, LoadReport) {
    let store = Store::new(Device::Cpu);
    let vit = config.init(&store.root(), &NoAdapter::Full, Options::default()).unwrap();
    let options = LoadOptions { allow_unused, ..LoadOptions::default() };
    let report = store.load("w.npz", &renamed(), &options).unwrap();
    let image = Tensor::linspace(-1, 1, 2 * 3 * 12 * 8, (Kind::Float, Device::Cpu));
    let features = vit.forward_intermediates(&image.view([2, 3, 12, 8]), false).unwrap().features;
    (vit.forward_head(&features, false).into_shared(), report)
}

#[test]
fn a_vit_takes_all_but_the_hidden_layer_of_the_classifier() {
    let (logits, report) = load(&CONFIG, &["pre_logits/*"]);
    assert_eq!(report.unused, ["pre_logits/bias", "pre_logits/kernel"]);
    assert_eq!((report.loaded.len(), report.missing.len()), (8 + 2 * 12, 0));
    assert_eq!(logits.size(), [2, 7]);
    assert_eq!(logits.isfinite().all().int64_value(&[]), 1);
    let headless = VitConfig { num_classes: 0, ..CONFIG };
    let (_, report) = load(&headless, &["pre_logits/*", "head.*"]);
    assert_eq!(report.unused, ["head.bias", "head.weight", "pre_logits/bias", "pre_logits/kernel"]);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let refusal = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = file();
        change(&mut tensors);
        augreg_vit(tensors).unwrap_err().to_string()
    };
    let key = "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/kernel";
    assert_eq!(
        refusal(&|tensors| drop(tensors.remove(key))),
        "blocks.0.attn.qkv.weight: expected query, key and value, found 2 of them"
    );
    let flat = |tensors: &mut Tensors| {
        let tensor = tensors[key].flatten(1, 2);
        drop(tensors.insert(key.into(), tensor));
    };
    let message = format!("{key}: expected [in, heads, head_dim], found [32, 32]");
    assert_eq!(refusal(&flat), message);
    let short = |tensors: &mut Tensors| {
        let tensor = tensors[key].narrow(0, 0, 8);
        drop(tensors.insert(key.into(), tensor));
    };
    assert_eq!(
        refusal(&short),
        "blocks.0.attn.qkv.weight: expected query, key and value of one shape, found \
         [[32, 32], [32, 8], [32, 32]]"
    );
}
