//! Hugging Face's `PvtV2Model`, with and without a classifier.

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::qkv::join_kv;
use super::source::Source;
use crate::error::Result;

/// Hugging Face's PVT v2.
pub const HUGGING_FACE_PVT_V2: Source = Source::new(
    "Hugging Face's PVT v2",
    &["encoder.layers.0.patch_embedding."],
    huggingface_pvt_v2,
);

const TRUNK: &str = "pvt_v2.";

const EMBED: [(&str, &str); 2] = [("proj.", "proj."), ("layer_norm.", "norm.")];

const BLOCK: [(&str, &str); 11] = [
    ("layer_norm_1.", "norm1."),
    ("layer_norm_2.", "norm2."),
    ("attention.query.", "attn.q."),
    ("attention.key.", "attn.kv.k."),
    ("attention.value.", "attn.kv.v."),
    ("attention.proj.", "attn.proj."),
    ("attention.spatial_reduction.", "attn.sr."),
    ("attention.layer_norm.", "attn.norm."),
    ("mlp.dense1.", "mlp.fc1."),
    ("mlp.dwconv.dwconv.", "mlp.dwconv."),
    ("mlp.dense2.", "mlp.fc2."),
];

/// Names of Hugging Face's PVT v2 in timm's words, key and value joined.
///
/// # Errors
/// Key and value of which one is absent or differs in shape.
fn huggingface_pvt_v2(tensors: Tensors) -> Result<Tensors> {
    let named = tensors.into_iter().map(|(name, tensor)| {
        let short = name.strip_prefix(TRUNK).unwrap_or(&name);
        (renamed(short).unwrap_or_else(|| short.to_owned()), tensor)
    });
    join_kv(named.collect())
}

fn renamed(name: &str) -> Option<String> {
    let Some(stage) = name.strip_prefix("encoder.layers.") else {
        return replace_prefix(name, &[("classifier.", "head.")]);
    };
    let (stage, rest) = stage.split_once('.')?;
    if let Some(embed) = rest.strip_prefix("patch_embedding.") {
        let part = replace_prefix(embed, &EMBED)?;
        return Some(match stage {
            "0" => format!("patch_embed.{part}"),
            _ => format!("stages.{stage}.downsample.{part}"),
        });
    }
    if let Some(norm) = rest.strip_prefix("layer_norm.") {
        return Some(format!("stages.{stage}.norm.{norm}"));
    }
    let (block, rest) = rest.strip_prefix("blocks.")?.split_once('.')?;
    Some(format!("stages.{stage}.blocks.{block}.{}", replace_prefix(rest, &BLOCK)?))
}
