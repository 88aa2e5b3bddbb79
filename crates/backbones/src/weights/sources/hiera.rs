//! Hiera as its authors publish it, and Hugging Face's `HieraModel`, with and without a classifier;
//! what only pre-training reads is left out.

use std::collections::BTreeMap;

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::source::Source;
use crate::architectures::names::numbered_as;

/// Hiera's authors.
pub const HIERA: Source = Source {
    left_out: &["mask_token", "decoder_", "multi_scale_fusion_heads."],
    ..Source::new(
        "Hiera's authors",
        &["head.projection.", "encoder_norm.", "multi_scale_fusion_heads."],
        |t| Ok(authors(t)),
    )
};

/// Hugging Face's.
pub const HUGGING_FACE_HIERA: Source = Source {
    left_out: &["decoder.", "multiscale_fusion."],
    ..Source::new("Hugging Face's Hiera", &["encoder.stages.0.layers.0.attn.qkv."], |t| {
        Ok(hugging_face(t))
    })
};

const TRUNK: &str = "hiera.";

const AUTHORS: [(&str, &str); 4] = [
    ("head.projection.", "head.fc."),
    ("encoder_norm.", "head.norm."),
    ("norm.", "head.norm."),
    ("pos_embed_abs", "pos_embed"),
];

const TOP: [(&str, &str); 4] = [
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("pooler.layernorm.", "head.norm."),
    ("classifier.", "head.fc."),
];

const BLOCK: [(&str, &str); 5] = [
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("attn.", "attn."),
    ("mlp.", "mlp."),
    ("proj.", "proj."),
];

/// Names of the authors' Hiera in timm's words.
fn authors(tensors: Tensors) -> Tensors {
    let rename = |name: String| replace_prefix(&name, &AUTHORS).unwrap_or(name);
    tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

/// Names of Hugging Face's Hiera in timm's words, whose blocks are numbered through all stages.
fn hugging_face(tensors: Tensors) -> Tensors {
    let depths = depths(&tensors);
    let rename = |name: String| {
        let short = name.strip_prefix(TRUNK).unwrap_or(&name);
        renamed(short, &depths).unwrap_or_else(|| short.to_owned())
    };
    tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

/// Blocks of each stage.
fn depths(tensors: &Tensors) -> BTreeMap<usize, usize> {
    let mut depths = BTreeMap::new();
    for (stage, index, _) in tensors.keys().filter_map(|name| of_block(name)) {
        let depth: &mut usize = depths.entry(stage).or_default();
        *depth = (*depth).max(index.saturating_add(1));
    }
    depths
}

/// Stage, number within it, and the rest of the name.
fn of_block(name: &str) -> Option<(usize, usize, &str)> {
    let name = name.strip_prefix(TRUNK).unwrap_or(name);
    let (stage, rest) = numbered_as(name, "encoder.stages.")?;
    let (index, rest) = numbered_as(rest, "layers.")?;
    Some((stage, index, rest))
}

fn renamed(name: &str, depths: &BTreeMap<usize, usize>) -> Option<String> {
    let Some((stage, index, rest)) = of_block(name) else { return replace_prefix(name, &TOP) };
    let before: usize = depths.range(..stage).map(|(_, depth)| depth).sum();
    Some(format!("blocks.{}.{}", before + index, replace_prefix(rest, &BLOCK)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Tensor;

    #[test]
    fn blocks_are_numbered_through_all_stages() {
        let names = [
            "hiera.encoder.stages.0.layers.1.mlp.fc1.bias",
            "hiera.encoder.stages.1.layers.0.proj.bias",
            "hiera.pooler.layernorm.bias",
        ];
        let tensors = names.map(|name| (name.to_owned(), Tensor::new()));
        let found = hugging_face(Tensors::from(tensors));
        assert!(found.keys().eq(["blocks.1.mlp.fc1.bias", "blocks.2.proj.bias", "head.norm.bias"]));
    }
}
