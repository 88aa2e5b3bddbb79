//! Hugging Face's `SwinModel`, first version, with and without a classifier.

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::qkv::join_qkv;
use super::source::Source;
use crate::error::Result;

/// Hugging Face's Swin, first version.
pub const HUGGING_FACE_SWIN: Source = Source {
    pads_before_roll: true,
    block: Some(r"encoder\.layers\.\d+\.blocks\.\d+\.(?:attention|intermediate|output|layernorm)"),
    rename_one: Some(huggingface_swin_name),
    ..Source::new("Hugging Face's Swin", &["encoder.layers.0.blocks.0."], huggingface_swin)
};

const TRUNK: &str = "swin.";

const TOP: [(&str, &str); 4] = [
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("embeddings.norm.", "patch_embed.norm."),
    ("layernorm.", "norm."),
    ("classifier.", "head.fc."),
];

/// Prefixes of a stage's number: of files, and of modules since version 5.
const STAGES: [&str; 2] = ["encoder.layers.", "layers."];

const BLOCK: [(&str, &str); 16] = [
    ("attention.relative_position_bias.", "attn."),
    ("mlp.", "mlp."),
    ("attention.self.query.", "attn.qkv.q."),
    ("attention.self.key.", "attn.qkv.k."),
    ("attention.self.value.", "attn.qkv.v."),
    ("attention.self.relative_position", "attn.relative_position"),
    ("attention.output.dense.", "attn.proj."),
    ("attention.q_proj.", "attn.qkv.q."),
    ("attention.k_proj.", "attn.qkv.k."),
    ("attention.v_proj.", "attn.qkv.v."),
    ("attention.o_proj.", "attn.proj."),
    ("attention.relative_position", "attn.relative_position"),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
];

/// Names of Hugging Face's Swin in timm's words, query, key and value joined. As its authors have
/// it, a patch merging closes a stage there.
///
/// # Errors
/// Query, key and value of which one is absent or differs in shape.
fn huggingface_swin(tensors: Tensors) -> Result<Tensors> {
    let named = tensors.into_iter().map(|(name, tensor)| (huggingface_swin_name(&name), tensor));
    join_qkv(named.collect())
}

/// The name of one tensor or factor in timm's words; `q`, `k` and `v` of `attn.qkv` stay apart.
fn huggingface_swin_name(name: &str) -> String {
    let short = name.strip_prefix(TRUNK).unwrap_or(name);
    renamed(short).unwrap_or_else(|| short.to_owned())
}

fn renamed(name: &str) -> Option<String> {
    let Some(stage) = STAGES.iter().find_map(|prefix| name.strip_prefix(prefix)) else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_are_known_beside_those_of_files() {
        for (from, to) in [
            (
                "swin.encoder.layers.0.blocks.1.attention.relative_position_bias.\
                 relative_position_bias_table",
                "layers.0.blocks.1.attn.relative_position_bias_table",
            ),
            (
                "encoder.layers.0.blocks.1.attention.self.relative_position_bias_table",
                "layers.0.blocks.1.attn.relative_position_bias_table",
            ),
            ("swin.encoder.layers.1.blocks.0.mlp.fc1.bias", "layers.1.blocks.0.mlp.fc1.bias"),
            ("swin.encoder.layers.0.downsample.norm.bias", "layers.1.downsample.norm.bias"),
            ("swin.layernorm.weight", "norm.weight"),
        ] {
            assert_eq!(huggingface_swin_name(from), to);
        }
    }
}
