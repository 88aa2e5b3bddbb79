//! Hugging Face's `Swinv2Model`, with and without a classifier.

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::qkv::join_qkv;
use super::source::Source;
use crate::error::Result;

/// Hugging Face's Swin V2.
pub const HUGGING_FACE_SWINV2: Source = Source {
    rename_one: Some(huggingface_swinv2_name),
    left_out: &["embeddings.mask_token"],
    pads_before_roll: true,
    ..Source::new(
        "Hugging Face's Swin V2",
        &["attention.self.continuous_position_bias_mlp."],
        huggingface_swinv2,
    )
};

const TRUNK: &str = "swinv2.";

const TOP: [(&str, &str); 4] = [
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("embeddings.norm.", "patch_embed.norm."),
    ("layernorm.", "norm."),
    ("classifier.", "head.fc."),
];

/// Keys have no bias.
const BLOCK: [(&str, &str); 13] = [
    ("attention.self.query.bias", "attn.q_bias"),
    ("attention.self.value.bias", "attn.v_bias"),
    ("attention.self.query.", "attn.qkv.q."),
    ("attention.self.key.", "attn.qkv.k."),
    ("attention.self.value.", "attn.qkv.v."),
    ("attention.self.continuous_position_bias_mlp.", "attn.cpb_mlp."),
    ("attention.self.", "attn."),
    ("attention.output.dense.", "attn.proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("mlp.", "mlp."),
];

/// Names of Hugging Face's Swin V2 in timm's words, query, key and value joined. As its authors have
/// it, a patch merging closes a stage there.
///
/// # Errors
/// Query, key and value of which one is absent or differs in shape.
fn huggingface_swinv2(tensors: Tensors) -> Result<Tensors> {
    let named = tensors.into_iter().map(|(name, tensor)| (huggingface_swinv2_name(&name), tensor));
    join_qkv(named.collect())
}

/// The name of one tensor or factor in timm's words; `q`, `k` and `v` of `attn.qkv` stay apart.
fn huggingface_swinv2_name(name: &str) -> String {
    let short = name.strip_prefix(TRUNK).unwrap_or(name);
    renamed(short).unwrap_or_else(|| short.to_owned())
}

fn renamed(name: &str) -> Option<String> {
    let Some(stage) = name.strip_prefix("encoder.layers.") else {
        return replace_prefix(name, &TOP);
    };
    let (stage, rest) = stage.split_once('.')?;
    if rest.starts_with("downsample.") {
        let next = stage.parse::<usize>().ok()? + 1;
        return Some(format!("layers.{next}.{rest}"));
    }
    let (block, rest) = rest.strip_prefix("blocks.")?.split_once('.')?;
    Some(format!("layers.{stage}.blocks.{block}.{}", replace_prefix(rest, &BLOCK)?))
}
