//! ViTs as their authors publish them: the `.npz` files of "How to train your ViT?"
//! (arXiv 2106.10270), ImageNet-21k among them.
//!
//! Kernels have inputs first and outputs last; heads are an axis of their own. The weights expect
//! images of mean 0.5 and standard deviation 0.5 in every channel.

use std::collections::BTreeMap;

use polyptych_tensor::{Tensor, Tensors};

use super::source::Source;
use crate::error::{Error, Result};

/// ViT's authors, in NumPy's archives.
pub const AUGREG: Source = Source::new("AugReg's ViT", &["Transformer/encoderblock_"], augreg_vit);

/// How a tensor lies in the file, and so what brings it to timm's layout.
#[derive(Clone, Copy)]
enum Layout {
    /// As in timm.
    Same,
    /// `[height, width, in, out]`.
    Convolution,
    /// `[in, out]`.
    Dense,
    /// `[in, heads, head_dim]`.
    ToHeads,
    /// `[heads, head_dim]`.
    HeadsBias,
    /// `[heads, head_dim, out]`.
    FromHeads,
}

use Layout::{Convolution, Dense, FromHeads, HeadsBias, Same, ToHeads};

const TOP: [(&str, &str, Layout); 8] = [
    ("embedding/kernel", "patch_embed.proj.weight", Convolution),
    ("embedding/bias", "patch_embed.proj.bias", Same),
    ("cls", "cls_token", Same),
    ("Transformer/posembed_input/pos_embedding", "pos_embed", Same),
    ("Transformer/encoder_norm/scale", "norm.weight", Same),
    ("Transformer/encoder_norm/bias", "norm.bias", Same),
    ("head/kernel", "head.weight", Dense),
    ("head/bias", "head.bias", Same),
];

/// Query, key and value share a name: they become one tensor, in this order.
const BLOCK: [(&str, &str, Layout); 16] = [
    ("LayerNorm_0/scale", "norm1.weight", Same),
    ("LayerNorm_0/bias", "norm1.bias", Same),
    ("MultiHeadDotProductAttention_1/query/kernel", QKV_WEIGHT, ToHeads),
    ("MultiHeadDotProductAttention_1/key/kernel", QKV_WEIGHT, ToHeads),
    ("MultiHeadDotProductAttention_1/value/kernel", QKV_WEIGHT, ToHeads),
    ("MultiHeadDotProductAttention_1/query/bias", QKV_BIAS, HeadsBias),
    ("MultiHeadDotProductAttention_1/key/bias", QKV_BIAS, HeadsBias),
    ("MultiHeadDotProductAttention_1/value/bias", QKV_BIAS, HeadsBias),
    ("MultiHeadDotProductAttention_1/out/kernel", "attn.proj.weight", FromHeads),
    ("MultiHeadDotProductAttention_1/out/bias", "attn.proj.bias", Same),
    ("LayerNorm_2/scale", "norm2.weight", Same),
    ("LayerNorm_2/bias", "norm2.bias", Same),
    ("MlpBlock_3/Dense_0/kernel", "mlp.fc1.weight", Dense),
    ("MlpBlock_3/Dense_0/bias", "mlp.fc1.bias", Same),
    ("MlpBlock_3/Dense_1/kernel", "mlp.fc2.weight", Dense),
    ("MlpBlock_3/Dense_1/bias", "mlp.fc2.bias", Same),
];

const QKV_WEIGHT: &str = "attn.qkv.weight";
const QKV_BIAS: &str = "attn.qkv.bias";

/// Names and layouts of a published ViT, of any size, in timm's words.
///
/// `pre_logits/*`, the hidden layer before some files' classifier, which timm's ViT lacks, keeps
/// its names.
///
/// # Errors
/// A tensor with another number of axes than its name says, or query, key and value of which one
/// is absent or differs in shape.
fn augreg_vit(tensors: Tensors) -> Result<Tensors> {
    let mut parts: BTreeMap<String, BTreeMap<usize, Tensor>> = BTreeMap::new();
    for (name, tensor) in tensors {
        let (target, part, layout) = target(&name).unwrap_or_else(|| (name.clone(), 0, Same));
        let tensor = arranged(&name, &tensor, layout)?;
        let _ = parts.entry(target).or_default().insert(part, tensor);
    }
    parts.into_iter().map(|(name, parts)| Ok((name.clone(), joined(&name, parts)?))).collect()
}

/// timm's name, the position among the tensors that share it, and the layout.
fn target(name: &str) -> Option<(String, usize, Layout)> {
    if let Some((_, target, layout)) = TOP.iter().find(|(from, ..)| *from == name) {
        return Some(((*target).to_owned(), 0, *layout));
    }
    let (block, rest) = name.strip_prefix("Transformer/encoderblock_")?.split_once('/')?;
    let part = BLOCK.iter().position(|(from, ..)| *from == rest)?;
    let (_, target, layout) = BLOCK[part];
    Some((format!("blocks.{block}.{target}"), part, layout))
}

fn arranged(name: &str, tensor: &Tensor, layout: Layout) -> Result<Tensor> {
    let axes = |expected: &'static str, count: usize| match tensor.dim() == count {
        true => Ok(()),
        false => Err(wrong(name, expected, format!("{:?}", tensor.size()))),
    };
    let arranged = match layout {
        Same => tensor.shallow_clone(),
        Convolution => {
            axes("[height, width, in, out]", 4)?;
            tensor.permute([3, 2, 0, 1])
        }
        Dense => {
            axes("[in, out]", 2)?;
            tensor.transpose(0, 1)
        }
        ToHeads => {
            axes("[in, heads, head_dim]", 3)?;
            tensor.flatten(1, 2).transpose(0, 1)
        }
        HeadsBias => {
            axes("[heads, head_dim]", 2)?;
            tensor.flatten(0, 1)
        }
        FromHeads => {
            axes("[heads, head_dim, out]", 3)?;
            tensor.flatten(0, 1).transpose(0, 1)
        }
    };
    Ok(arranged.contiguous())
}

fn joined(name: &str, parts: BTreeMap<usize, Tensor>) -> Result<Tensor> {
    let parts: Vec<Tensor> = parts.into_values().collect();
    let shared = name.ends_with(QKV_WEIGHT) || name.ends_with(QKV_BIAS);
    if shared && parts.len() != 3 {
        return Err(wrong(name, "query, key and value", format!("{} of them", parts.len())));
    }
    let shapes: Vec<Vec<i64>> = parts.iter().map(Tensor::size).collect();
    if shapes.iter().any(|shape| *shape != shapes[0]) {
        return Err(wrong(name, "query, key and value of one shape", format!("{shapes:?}")));
    }
    Ok(match shared {
        true => Tensor::f_cat(&parts, 0).map_err(polyptych_tensor::Error::from)?,
        false => parts[0].shallow_clone(),
    })
}

fn wrong(key: &str, expected: &'static str, found: String) -> Error {
    Error::Weights { key: key.into(), expected, found }
}

#[cfg(test)]
mod tests;
