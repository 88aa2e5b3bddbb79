//! Hugging Face's `BeitModel`, both versions, with and without a classifier.
//!
//! Files keep the names that the library had first; since version 5 its modules, and so adapters,
//! have others.

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::qkv::join_qkv;
use super::source::Source;
use crate::error::Result;

/// Hugging Face's BEiT.
pub const HUGGING_FACE_BEIT: Source = Source {
    rename_one: Some(huggingface_beit_name),
    left_out: &["embeddings.mask_token", "lm_head."],
    ..Source::new(
        "Hugging Face's BEiT",
        &["layer.0.lambda_1", "layers.0.lambda_1"],
        huggingface_beit,
    )
};

/// Prefix of the trunk in a model with a classifier.
const TRUNK: &str = "beit.";

const TOP: [(&str, &str); 8] = [
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("encoder.relative_position_bias.", "rel_pos_bias."),
    ("shared_position_bias.", "rel_pos_bias."),
    ("pooler.layernorm.", "fc_norm."),
    ("layernorm.", "norm."),
    ("classifier.", "head."),
];

/// Prefixes of a block's number.
const BLOCKS: [&str; 2] = ["encoder.layer.", "layers."];

/// Keys have no bias.
const BLOCK: [(&str, &str); 21] = [
    ("attention.attention.query.bias", "attn.q_bias"),
    ("attention.attention.value.bias", "attn.v_bias"),
    ("attention.attention.query.", "attn.qkv.q."),
    ("attention.attention.key.", "attn.qkv.k."),
    ("attention.attention.value.", "attn.qkv.v."),
    ("attention.attention.relative_position_bias.", "attn."),
    ("attention.output.dense.", "attn.proj."),
    ("attention.q_proj.bias", "attn.q_bias"),
    ("attention.v_proj.bias", "attn.v_bias"),
    ("attention.q_proj.", "attn.qkv.q."),
    ("attention.k_proj.", "attn.qkv.k."),
    ("attention.v_proj.", "attn.qkv.v."),
    ("attention.o_proj.", "attn.proj."),
    ("relative_position_bias.", "attn."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("mlp.", "mlp."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("lambda_1", "gamma_1"),
    ("lambda_2", "gamma_2"),
];

/// Names of Hugging Face's BEiT in timm's words, query, key and value joined.
///
/// # Errors
/// Query, key and value of which one is absent or differs in shape.
fn huggingface_beit(tensors: Tensors) -> Result<Tensors> {
    let named = tensors.into_iter().map(|(name, tensor)| (huggingface_beit_name(&name), tensor));
    join_qkv(named.collect())
}

/// The name of one tensor or factor in timm's words; `q`, `k` and `v` of `attn.qkv` stay apart.
fn huggingface_beit_name(name: &str) -> String {
    let short = name.strip_prefix(TRUNK).unwrap_or(name);
    renamed(short).unwrap_or_else(|| short.to_owned())
}

fn renamed(name: &str) -> Option<String> {
    let Some(block) = BLOCKS.iter().find_map(|prefix| name.strip_prefix(prefix)) else {
        return replace_prefix(name, &TOP);
    };
    let (index, rest) = block.split_once('.')?;
    Some(format!("blocks.{index}.{}", replace_prefix(rest, &BLOCK)?))
}
