//! Weights of text towers, under the tower's names.

use std::path::Path;

use polyptych_tensor::Tensors;

use crate::error::{Error, Result};
use crate::weights::checkpoint::tensors_in;
use crate::weights::sources::{join_qkv, replace_prefix};

/// Hugging Face's names around blocks.
const HUGGING_FACE: [(&str, &str); 4] = [
    ("embeddings.token_embedding.", "token_embedding."),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm.", "ln_final."),
    ("text_projection.", "text_projection."),
];

/// And within them.
const HUGGING_FACE_BLOCK: [(&str, &str); 7] = [
    ("self_attn.q_proj.", "attn.qkv.q."),
    ("self_attn.k_proj.", "attn.qkv.k."),
    ("self_attn.v_proj.", "attn.qkv.v."),
    ("self_attn.out_proj.", "attn.proj."),
    ("layer_norm1.", "norm1."),
    ("layer_norm2.", "norm2."),
    ("mlp.", "mlp."),
];

/// Names of OpenAI's CLIP and of open_clip within blocks.
const OPEN_CLIP_BLOCK: [(&str, &str); 7] = [
    ("attn.in_proj_weight", "attn.qkv.weight"),
    ("attn.in_proj_bias", "attn.qkv.bias"),
    ("attn.out_proj.", "attn.proj."),
    ("ln_1.", "norm1."),
    ("ln_2.", "norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
];

/// The tensors of the text tower in the file or folder at `path`, of Hugging Face's CLIP, OpenAI's,
/// open_clip's or our own; those of its image tower are left out.
///
/// # Errors
/// What cannot be read, query, key and value of which one is absent, or no text tower.
pub fn text_weights(path: &Path) -> Result<Tensors> {
    let named = tensors_in(path)?.into_iter().filter_map(|(name, tensor)| {
        let own = own_name(&name)?;
        // OpenAI's multiplies from the left.
        let turned = name.ends_with("text_projection");
        Some((own, if turned { tensor.tr() } else { tensor }))
    });
    let tensors = join_qkv(named.collect())?;
    if tensors.contains_key("token_embedding.weight") {
        return Ok(tensors);
    }
    Err(Error::Checkpoint {
        origin: path.display().to_string(),
        key: "names".into(),
        expected: "those of a text tower (Hugging Face's CLIP, OpenAI's, open_clip)".into(),
        found: "no token embedding".into(),
    })
}

/// The name in the tower; nothing for what is of the image tower or is computed.
fn own_name(name: &str) -> Option<String> {
    let name = name.strip_prefix("text_model.").or(name.strip_prefix("text.")).unwrap_or(name);
    if let Some(rest) = name.strip_prefix("encoder.layers.") {
        return in_block(rest, &HUGGING_FACE_BLOCK);
    }
    if let Some(rest) = name.strip_prefix("transformer.resblocks.") {
        return in_block(rest, &OPEN_CLIP_BLOCK);
    }
    let own = ["token_embedding.weight", "positional_embedding"].contains(&name)
        || ["ln_final.", "blocks."].iter().any(|prefix| name.starts_with(prefix));
    match name {
        "text_projection" => Some("text_projection.weight".into()),
        _ if own => Some(name.into()),
        _ => replace_prefix(name, &HUGGING_FACE),
    }
}

fn in_block(rest: &str, table: &[(&str, &str)]) -> Option<String> {
    let (index, rest) = rest.split_once('.')?;
    Some(format!("blocks.{index}.{}", replace_prefix(rest, table)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_source_are_known() {
        for (name, expected) in [
            ("text_model.encoder.layers.3.self_attn.k_proj.bias", "blocks.3.attn.qkv.k.bias"),
            ("encoder.layers.3.layer_norm2.weight", "blocks.3.norm2.weight"),
            ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
            ("text_projection.weight", "text_projection.weight"),
            ("transformer.resblocks.11.mlp.c_fc.bias", "blocks.11.mlp.fc1.bias"),
            ("text.transformer.resblocks.0.attn.in_proj_weight", "blocks.0.attn.qkv.weight"),
            ("text.text_projection", "text_projection.weight"),
            ("ln_final.bias", "ln_final.bias"),
        ] {
            assert_eq!(own_name(name).as_deref(), Some(expected));
        }
        let foreign = ["visual.proj", "logit_scale", "vision_model.encoder.layers.0.mlp.fc1.bias"];
        assert!(foreign.iter().all(|name| own_name(name).is_none()));
    }
}
