//! DINOv3's ViTs as Meta publishes them and as Hugging Face's `DINOv3ViTModel` has them, with timm's
//! names of an Eva.
//!
//! Biases of query and value that are zero everywhere, as the distilled models have them, are left
//! out, as timm's models of these names have none.

use polyptych_tensor::{Tensor, Tensors};

use super::prefix_table::replace_prefix;
use super::qkv::join_qkv;
use super::source::Source;
use crate::error::{Error, Result};

/// Meta's own files.
pub const META_DINOV3: Source =
    Source { left_out: &["mask_token"], ..Source::new("Meta's DINOv3", &["storage_tokens"], meta) };

/// Hugging Face's.
pub const HUGGING_FACE_DINOV3: Source = Source {
    block: Some(
        r"(?:model\.)?layer\.\d+\.(?:attention|mlp|norm1|norm2|layer_scale1|layer_scale2)\.",
    ),
    left_out: &["embeddings.mask_token"],
    ..Source::new("Hugging Face's DINOv3", &["layer.0.mlp.up_proj."], hugging_face)
};

/// Above the blocks.
const TOP: [(&str, &str); 4] = [
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.register_tokens", "reg_token"),
    ("embeddings.patch_embeddings.", "patch_embed.proj."),
    ("norm.", "norm."),
];

/// Of a block; that of `mlp.up_proj` depends on whether a gate stands beside it.
const BLOCK: [(&str, &str); 13] = [
    ("attention.q_proj.weight", "attn.qkv.q.weight"),
    ("attention.k_proj.weight", "attn.qkv.k.weight"),
    ("attention.v_proj.weight", "attn.qkv.v.weight"),
    ("attention.q_proj.bias", "attn.q_bias"),
    ("attention.v_proj.bias", "attn.v_bias"),
    ("attention.o_proj.", "attn.proj."),
    ("layer_scale1.lambda1", "gamma_1"),
    ("layer_scale2.lambda1", "gamma_2"),
    ("mlp.gate_proj.", "mlp.fc1_g."),
    ("mlp.down_proj.", "mlp.fc2."),
    ("mlp.up_proj.", "mlp.fc1."),
    ("norm1.", "norm1."),
    ("norm2.", "norm2."),
];

/// # Errors
/// A fused bias whose length is no multiple of 3.
fn meta(tensors: Tensors) -> Result<Tensors> {
    let mut named = Tensors::new();
    for (name, tensor) in tensors {
        match name.strip_suffix("attn.qkv.bias") {
            Some(block) => {
                let [query, value] = query_and_value(&name, &tensor)?;
                named.insert(format!("{block}attn.q_bias"), query);
                named.insert(format!("{block}attn.v_bias"), value);
            }
            None => drop(named.insert(meta_name(&name), tensor)),
        }
    }
    Ok(finished(named))
}

/// Parts of names, and timm's; the last three are of gated perceptrons.
const META: [(&str, &str); 6] = [
    ("storage_tokens", "reg_token"),
    ("ls1.gamma", "gamma_1"),
    ("ls2.gamma", "gamma_2"),
    ("mlp.w1.", "mlp.fc1_g."),
    ("mlp.w2.", "mlp.fc1_x."),
    ("mlp.w3.", "mlp.fc2."),
];

fn meta_name(name: &str) -> String {
    META.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

/// The first and the last third; the key's is masked in training.
fn query_and_value(name: &str, bias: &Tensor) -> Result<[Tensor; 2]> {
    let (rows, axes) = (bias.size().first().copied().unwrap_or(0), bias.dim());
    if axes != 1 || rows % 3 != 0 {
        let expected = "biases of query, key and value, one behind the other";
        let found = format!("{:?}", bias.size());
        return Err(Error::Weights { key: name.into(), expected, found });
    }
    let part = |index: i64| bias.f_narrow(0, index * rows / 3, rows / 3);
    let torch = |e| Error::from(polyptych_tensor::Error::from(e));
    Ok([part(0).map_err(torch)?, part(2).map_err(torch)?])
}

/// # Errors
/// Query, key and value of which one is absent or differs in shape.
fn hugging_face(tensors: Tensors) -> Result<Tensors> {
    let gated = tensors.keys().any(|name| name.contains("mlp.gate_proj."));
    let named = tensors.into_iter().map(|(name, tensor)| {
        let timm = hugging_face_name(&name).unwrap_or(name);
        let timm = if gated { timm.replace("mlp.fc1.", "mlp.fc1_x.") } else { timm };
        (timm, tensor)
    });
    Ok(finished(join_qkv(named.collect())?))
}

fn hugging_face_name(name: &str) -> Option<String> {
    let short = name.strip_prefix("model.").unwrap_or(name);
    let Some(block) = short.strip_prefix("layer.") else { return replace_prefix(name, &TOP) };
    let (index, rest) = block.split_once('.')?;
    Some(format!("blocks.{index}.{}", replace_prefix(rest, &BLOCK)?))
}

/// Without biases of zero.
fn finished(mut tensors: Tensors) -> Tensors {
    let is_bias = |name: &str| name.ends_with("attn.q_bias") || name.ends_with("attn.v_bias");
    let is_zero = |tensor: &Tensor| tensor.eq(0.0).all().int64_value(&[]) == 1;
    let biased = tensors.iter().any(|(name, tensor)| is_bias(name) && !is_zero(tensor));
    tensors.retain(|name, _| biased || !is_bias(name));
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bias: &[f32]) -> Tensors {
        let tensor = |values: &[f32]| Tensor::from_slice(values);
        Tensors::from([
            ("storage_tokens".to_owned(), tensor(&[1.0])),
            ("blocks.0.attn.qkv.bias".to_owned(), tensor(bias)),
            ("blocks.0.ls2.gamma".to_owned(), tensor(&[2.0])),
        ])
    }

    #[test]
    fn biases_of_zero_are_left_out_and_others_are_split() {
        let zero = meta(file(&[0.0, 0.0, 0.0])).unwrap();
        assert!(zero.keys().eq(["blocks.0.gamma_2", "reg_token"]));
        let some = meta(file(&[0.0, 5.0, 2.0])).unwrap();
        let expected =
            ["blocks.0.attn.q_bias", "blocks.0.attn.v_bias", "blocks.0.gamma_2", "reg_token"];
        assert!(some.keys().eq(expected));
        assert_eq!(some["blocks.0.attn.v_bias"].double_value(&[0]), 2.0);
        let message = meta(file(&[0.0, 1.0])).unwrap_err().to_string();
        let expected = "blocks.0.attn.qkv.bias: expected biases of query, key and value, one behind \
                        the other, found [2]";
        assert_eq!(message, expected);
    }
}
