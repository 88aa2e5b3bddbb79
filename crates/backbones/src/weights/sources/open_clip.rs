//! The image tower of OpenAI's CLIP and of OpenCLIP, alone or beside the tower of texts, which is
//! left out.

use polyptych_tensor::{Tensor, Tensors};

use super::prefix_table::replace_prefix;
use super::source::Source;
use crate::error::{Error, Result};

/// CLIP's authors and OpenCLIP.
pub const OPEN_CLIP: Source = Source {
    left_out: &[
        "transformer.resblocks.",
        "token_embedding.",
        "positional_embedding",
        "ln_final.",
        "text_projection",
        "logit_scale",
        "input_resolution",
        "context_length",
        "vocab_size",
    ],
    ..Source::new("OpenCLIP", &["visual.transformer.resblocks.0."], open_clip)
};

const TOP: [(&str, &str); 7] = [
    ("visual.class_embedding", "cls_token"),
    ("visual.positional_embedding", "pos_embed"),
    ("visual.conv1.", "patch_embed.proj."),
    ("visual.ln_pre.", "norm_pre."),
    ("visual.ln_post.", "norm."),
    ("visual.proj", "head.weight"),
    ("visual.transformer.resblocks.", "blocks."),
];

const BLOCK: [(&str, &str); 6] = [
    ("ln_1.", "norm1."),
    ("ln_2.", "norm2."),
    ("attn.in_proj_", "attn.qkv."),
    ("attn.out_proj.", "attn.proj."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
];

/// Names of the image tower in timm's words; the projection is the classifier, transposed and with
/// a bias of zero, as timm has it.
///
/// # Errors
/// A class token, positions or a projection of other shapes than their names say.
fn open_clip(tensors: Tensors) -> Result<Tensors> {
    let mut named = Tensors::new();
    for (name, tensor) in tensors {
        let timm = renamed(&name).unwrap_or(name);
        let (expected, axes): (&'static str, usize) = match timm.as_str() {
            "cls_token" => ("[dim]", 1),
            "pos_embed" => ("[positions, dim]", 2),
            "head.weight" => ("[dim, features]", 2),
            _ => {
                named.insert(timm, tensor);
                continue;
            }
        };
        let size = tensor.size();
        if size.len() != axes {
            let found = format!("{size:?}");
            return Err(Error::Weights { key: timm, expected, found });
        }
        if timm == "head.weight" {
            let bias = Tensor::zeros([size[1]], (tensor.kind(), tensor.device()));
            named.insert("head.bias".into(), bias);
            named.insert(timm, tensor.transpose(0, 1).contiguous());
        } else {
            named.insert(timm, tensor.reshape([1, -1, size[axes - 1]]));
        }
    }
    Ok(named)
}

fn renamed(name: &str) -> Option<String> {
    let top = replace_prefix(name, &TOP)?;
    let Some(block) = top.strip_prefix("blocks.") else { return Some(top) };
    let (index, rest) = block.split_once('.')?;
    Some(format!("blocks.{index}.{}", replace_prefix(rest, &BLOCK)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn the_projection_becomes_a_classifier() {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let named = open_clip(Tensors::from([
            ("visual.proj".to_owned(), ones(&[4, 2])),
            ("visual.class_embedding".to_owned(), ones(&[4])),
            ("visual.transformer.resblocks.1.mlp.c_fc.bias".to_owned(), ones(&[8])),
        ]));
        let named = named.unwrap();
        let names = ["blocks.1.mlp.fc1.bias", "cls_token", "head.bias", "head.weight"];
        assert!(named.keys().eq(names));
        assert_eq!(named["head.weight"].size(), [2, 4]);
        let wrong = Tensors::from([("visual.proj".to_owned(), ones(&[4]))]);
        let message = open_clip(wrong).unwrap_err().to_string();
        assert_eq!(message, "head.weight: expected [dim, features], found [4]");
    }
}
