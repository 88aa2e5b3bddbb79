//! What methods train, written as adapters and read back.

use polyptych_tensor::{Device, Kind, Tensor, Tensors};
use serde_json::{Value, json};

use super::adapter::{CONFIG, load_peft};
use super::folder::save_peft;
use super::fused::{MAGNITUDE, row_lengths};
use crate::methods::AdapterConfig;

fn draw(shape: [i64; 2]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

fn close(a: &Tensor, b: &Tensor) {
    assert!((a - b).abs().max().double_value(&[]) < 1e-5);
}

fn saved(config: &AdapterConfig, tensors: &Tensors) -> (Tensors, Value) {
    let dir = tempfile::tempdir().unwrap();
    let adapter = config.to_peft(tensors).unwrap();
    save_peft(dir.path(), &adapter, &adapter.base, &[]).unwrap();
    let merged = load_peft(dir.path()).unwrap().merge(&adapter.base).unwrap();
    let text = std::fs::read_to_string(dir.path().join(CONFIG)).unwrap();
    (merged, serde_json::from_str(&text).unwrap())
}

#[test]
fn parts_of_a_fused_matrix_are_one_pair_of_factors() {
    for method in ["lora", "dora"] {
        let config = json!({"method": method, "r": 2, "target_modules": ["q", "v"]});
        let config: AdapterConfig = serde_json::from_value(config).unwrap();
        let path = "blocks.0.attn.qkv";
        let mut tensors = Tensors::from([(format!("{path}.weight"), draw([9, 4]))]);
        for part in ["q", "v"] {
            tensors.insert(format!("{path}.{part}.lora_A.weight"), draw([2, 4]));
            tensors.insert(format!("{path}.{part}.lora_B.weight"), draw([3, 2]));
            if method == "dora" {
                let length = draw([3, 1]).view([3]).abs() + 0.1;
                tensors.insert(format!("{path}.{part}.{MAGNITUDE}"), length);
            }
        }
        let (merged, json) = saved(&config, &tensors);
        assert_eq!(json["rank_pattern"], json!({r"^blocks\.0\.attn\.qkv": 4}));
        let weight = &tensors[&format!("{path}.weight")];
        for (part, start) in [("q", 0), ("v", 6)] {
            let of = |name: &str| &tensors[&format!("{path}.{part}.{name}")];
            let rows = weight.narrow(0, start, 3);
            let mut rows = rows + of("lora_B.weight").matmul(of("lora_A.weight")) * 4.0;
            if method == "dora" {
                let gain = of(MAGNITUDE) / row_lengths(&rows);
                rows *= gain.unsqueeze(1);
            }
            close(&merged[&format!("{path}.weight")].narrow(0, start, 3), &rows);
        }
        close(&merged[&format!("{path}.weight")].narrow(0, 3, 3), &weight.narrow(0, 3, 3));
    }
}

#[test]
fn magnitudes_that_have_not_started_are_lengths_of_rows() {
    let config = json!({"method": "dora", "r": 2, "target_modules": ["q", "v"]});
    let config: AdapterConfig = serde_json::from_value(config).unwrap();
    let path = "blocks.0.attn.qkv";
    let weight = draw([9, 4]);
    let mut tensors = Tensors::from([(format!("{path}.weight"), weight.copy())]);
    for part in ["q", "v"] {
        tensors.insert(format!("{path}.{part}.lora_A.weight"), draw([2, 4]));
        tensors.insert(format!("{path}.{part}.lora_B.weight"), draw([3, 2]).zeros_like());
        tensors.insert(format!("{path}.{part}.{MAGNITUDE}"), Tensor::from_slice(&[0f32; 3]));
    }
    let (merged, _) = saved(&config, &tensors);
    close(&merged[&format!("{path}.weight")], &weight);
}

#[test]
fn ranks_and_scales_of_mtloras_stages_are_patterns() {
    let config = json!({"method": "mtlora", "r": [2, 4], "scale": [3.0, 0.5]});
    let config: AdapterConfig = serde_json::from_value(config).unwrap();
    let mut tensors = Tensors::new();
    let modules = [
        ("layers.0.blocks.0.mlp.fc1", 2, 3.0),
        ("layers.1.blocks.0.mlp.fc1", 4, 0.5),
        ("layers.1.blocks.10.mlp.fc1", 4, 0.5),
    ];
    for (module, r, _) in modules {
        tensors.insert(format!("{module}.weight"), draw([5, 4]));
        tensors.insert(format!("{module}.lora_shared_A"), draw([r, 4]));
        tensors.insert(format!("{module}.lora_shared_B"), draw([5, r]));
    }
    let (merged, json) = saved(&config, &tensors);
    for (module, _, scale) in modules {
        let of = |name: &str| &tensors[&format!("{module}.{name}")];
        let product = of("lora_shared_B").matmul(of("lora_shared_A")) * scale;
        close(&merged[&format!("{module}.weight")], &(of("weight") + product));
    }
    let second = [r"^layers\.1\.blocks\.0\.mlp\.fc1", r"^layers\.1\.blocks\.10\.mlp\.fc1"];
    assert_eq!((&json["r"], &json["lora_alpha"]), (&json!(2), &json!(6.0)));
    assert_eq!(json["rank_pattern"], json!({second[0]: 4, second[1]: 4}));
    assert_eq!(json["alpha_pattern"], json!({second[0]: 2.0, second[1]: 2.0}));
    let of_a_vit = Tensors::from([
        ("blocks.0.mlp.fc1.lora_shared_A".to_owned(), draw([2, 4])),
        ("blocks.0.mlp.fc1.lora_shared_B".to_owned(), draw([5, 2])),
    ]);
    let message = config.to_peft(&of_a_vit).unwrap_err().to_string();
    assert!(message.contains("do not tell the stages that `scale` lists"), "{message}");
}

#[test]
fn what_mtloras_tasks_share_is_an_adapter() {
    let config = json!({"method": "mtlora", "r": 2, "scale": 3.0, "learnable_scale": true});
    let config: AdapterConfig = serde_json::from_value(config).unwrap();
    let names = ["weight", "lora_shared_A", "lora_shared_B", "lora_tasks_A.depth"];
    let shapes = [[5, 4], [2, 4], [5, 2], [2, 4]];
    let mut tensors: Tensors = names
        .iter()
        .zip(shapes)
        .map(|(name, shape)| (format!("fc1.{name}"), draw(shape)))
        .collect();
    tensors.insert("fc1.lora_shared_scale".into(), Tensor::from_slice(&[0.5f32]));
    let (merged, _) = saved(&config, &tensors);
    let product = tensors["fc1.lora_shared_B"].matmul(&tensors["fc1.lora_shared_A"]);
    close(&merged["fc1.weight"], &(&tensors["fc1.weight"] + product * 0.5));
    assert!(merged.keys().eq(["fc1.weight"]));
    assert_eq!(config.to_peft(&tensors).unwrap().left_out, ["fc1.lora_tasks_A.depth"]);
}
