//! The checkpoints of EMTAL's authors: timm's ViT with factors of their own naming.

use polyptych_tensor::Tensors;

use super::source::Source;

/// EMTAL's authors.
pub const EMTAL: Source = Source {
    joint_classifier: true,
    ..Source::new("EMTAL", &[".attn.lora_qkv", ".mlp.gate_weight_lora."], |t| Ok(emtal(t)))
};

/// Names behind `blocks.<index>.`, and whether the factor lies transposed: inputs come first there.
const BLOCK: [(&str, &str, bool); 9] = [
    ("attn.lora_qkv", "attn.qkv.lora_A.weight", true),
    ("attn.lora_qkv2", "attn.qkv.lora_B.weight", true),
    ("attn.lora_proj", "attn.proj.lora_A.weight", true),
    ("attn.lora_proj2", "attn.proj.lora_B.weight", true),
    ("mlp.lora_fc1_a", "mlp.fc1.lora_A.weight", true),
    ("mlp.lora_fc1_b", "mlp.fc1.lora_B.weight", true),
    ("mlp.lora_fc2_a", "mlp.fc2.lora_A.weight", true),
    ("mlp.lora_fc2_b", "mlp.fc2.lora_B.weight", true),
    ("mlp.gate_weight_lora.weight", "mlp.lora_router.weight", false),
];

/// Names of EMTAL's checkpoints in timm's and PEFT's words; the router is `mlp.lora_router`.
///
/// `head` stays one classifier for the classes of all tasks, in the order of tasks.
fn emtal(tensors: Tensors) -> Tensors {
    let convert = |(name, tensor): (String, polyptych_tensor::Tensor)| match renamed(&name) {
        Some((to, true)) if tensor.dim() == 2 => (to, tensor.transpose(0, 1).contiguous()),
        Some((to, _)) => (to, tensor),
        None => (name, tensor),
    };
    tensors.into_iter().map(convert).collect()
}

fn renamed(name: &str) -> Option<(String, bool)> {
    let (block, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    let (_, to, transposed) = BLOCK.iter().find(|(from, ..)| *from == rest)?;
    Some((format!("blocks.{block}.{to}"), *transposed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind, Tensor};

    #[test]
    fn factors_are_turned_and_the_rest_stays() {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let tensors = Tensors::from([
            ("blocks.3.attn.lora_qkv2".to_owned(), zeros(&[2, 12])),
            ("blocks.3.mlp.lora_fc2_a".to_owned(), zeros(&[8, 2])),
            ("blocks.3.mlp.gate_weight_lora.weight".to_owned(), zeros(&[4, 6])),
            ("head.weight".to_owned(), zeros(&[5, 6])),
        ]);
        let shapes = emtal(tensors).into_iter().map(|(name, tensor)| (name, tensor.size()));
        let expected = [
            ("blocks.3.attn.qkv.lora_B.weight", [12, 2]),
            ("blocks.3.mlp.fc2.lora_A.weight", [2, 8]),
            ("blocks.3.mlp.lora_router.weight", [4, 6]),
            ("head.weight", [5, 6]),
        ];
        assert!(shapes.eq(expected.map(|(name, shape)| (name.to_owned(), shape.to_vec()))));
    }
}
