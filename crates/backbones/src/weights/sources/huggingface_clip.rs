//! The image towers of Hugging Face's `CLIPModel` and `SiglipModel`, alone or beside the tower of
//! texts, which is left out.

use polyptych_tensor::{Kind, Tensor, Tensors};

use super::prefix_table::replace_prefix;
use super::qkv::join_qkv;
use super::source::Source;
use crate::error::{Error, Result};

/// Hugging Face's CLIP, SigLIP and SigLIP 2.
pub const HUGGING_FACE_CLIP: Source = Source {
    block: Some(
        r"(?:vision_model\.)?encoder\.layers\.\d+\.(?:self_attn|layer_norm1|layer_norm2|mlp)\.",
    ),
    left_out: &[
        "text_model.",
        "text_projection.",
        "logit_scale",
        "logit_bias",
        "vision_model.embeddings.position_ids",
    ],
    ..Source::new(
        "Hugging Face's CLIP and SigLIP",
        &["encoder.layers.0.self_attn.q_proj.", "encoder.layers.0.layer_norm1."],
        huggingface_clip,
    )
};

const TRUNK: &str = "vision_model.";

const TOP: [(&str, &str); 12] = [
    ("embeddings.class_embedding", "cls_token"),
    ("embeddings.position_embedding.weight", "pos_embed"),
    ("embeddings.patch_embedding.", "patch_embed.proj."),
    ("pre_layrnorm.", "norm_pre."),
    ("post_layernorm.", "norm."),
    ("visual_projection.", "head."),
    ("classifier.", "head."),
    ("head.probe", "attn_pool.latent"),
    ("head.attention.in_proj_", "attn_pool.in_proj_"),
    ("head.attention.out_proj.", "attn_pool.proj."),
    ("head.layernorm.", "attn_pool.norm."),
    ("head.mlp.", "attn_pool.mlp."),
];

const BLOCK: [(&str, &str); 7] = [
    ("self_attn.q_proj.", "attn.qkv.q."),
    ("self_attn.k_proj.", "attn.qkv.k."),
    ("self_attn.v_proj.", "attn.qkv.v."),
    ("self_attn.out_proj.", "attn.proj."),
    ("layer_norm1.", "norm1."),
    ("layer_norm2.", "norm2."),
    ("mlp.", "mlp."),
];

/// Names of Hugging Face's image towers in timm's words, query, key and value joined. The projection
/// of CLIP is the classifier, with a bias of zero, as timm has it.
///
/// # Errors
/// Query, key and value of which one is absent or differs in shape; positions, a class token or a
/// pooling of other shapes than their names say.
fn huggingface_clip(tensors: Tensors) -> Result<Tensors> {
    let named = tensors.into_iter().map(|(name, tensor)| {
        let short = name.strip_prefix(TRUNK).unwrap_or(&name);
        (renamed(short).unwrap_or_else(|| short.to_owned()), tensor)
    });
    let mut tensors = join_qkv(named.collect())?;
    convolve(&mut tensors)?;
    lift(&mut tensors, "cls_token", 1)?;
    lift(&mut tensors, "pos_embed", 2)?;
    for part in ["weight", "bias"] {
        split_pool(&mut tensors, part)?;
    }
    if let (Some(weight), false) = (tensors.get("head.weight"), tensors.contains_key("head.bias")) {
        let rows = weight.size().first().copied().unwrap_or(0);
        let bias = Tensor::zeros([rows], (weight.kind(), weight.device()));
        tensors.insert("head.bias".into(), bias);
    }
    Ok(tensors)
}

fn renamed(name: &str) -> Option<String> {
    let Some(block) = name.strip_prefix("encoder.layers.") else {
        return replace_prefix(name, &TOP);
    };
    let (index, rest) = block.split_once('.')?;
    Some(format!("blocks.{index}.{}", replace_prefix(rest, &BLOCK)?))
}

/// Makes a convolution of a patch embedding that is a matrix, as that of SigLIP 2's NaFlex: it reads a
/// patch as `[row, column, colour]`.
fn convolve(tensors: &mut Tensors) -> Result<()> {
    let name = "patch_embed.proj.weight";
    let Some(weight) = tensors.get_mut(name) else { return Ok(()) };
    let [rows, numbers] = weight.size()[..] else { return Ok(()) };
    let side = (numbers / 3).isqrt();
    if side == 0 || 3 * side * side != numbers {
        let (key, expected) = (name.into(), "[dim, 3 * patch_size^2]");
        return Err(Error::Weights { key, expected, found: format!("[{rows}, {numbers}]") });
    }
    *weight = weight.reshape([rows, side, side, 3]).permute([0, 3, 1, 2]).contiguous();
    Ok(())
}

/// Gives a tensor of `axes` axes those of one image, `[1, .., dim]`.
fn lift(tensors: &mut Tensors, name: &str, axes: usize) -> Result<()> {
    let Some(tensor) = tensors.get_mut(name) else { return Ok(()) };
    let size = tensor.size();
    if size.len() != axes {
        let expected = if axes == 1 { "[dim]" } else { "[positions, dim]" };
        return Err(Error::Weights { key: name.into(), expected, found: format!("{size:?}") });
    }
    *tensor = tensor.reshape([1, -1, size[axes - 1]]);
    Ok(())
}

/// Parts the one matrix of the pooling into timm's `q` and `kv`.
fn split_pool(tensors: &mut Tensors, part: &str) -> Result<()> {
    let name = format!("attn_pool.in_proj_{part}");
    let Some(whole) = tensors.remove(&name) else { return Ok(()) };
    let rows = whole.size().first().copied().unwrap_or(0);
    if rows == 0 || rows % 3 != 0 || whole.kind() == Kind::Bool {
        let expected = "query, key and value, one behind the other";
        return Err(Error::Weights { key: name, expected, found: format!("{:?}", whole.size()) });
    }
    let cut = |from, count| whole.f_narrow(0, from, count).map_err(polyptych_tensor::Error::from);
    tensors.insert(format!("attn_pool.q.{part}"), cut(0, rows / 3)?);
    tensors.insert(format!("attn_pool.kv.{part}"), cut(rows / 3, rows / 3 * 2)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    #[test]
    fn a_patch_embedding_that_is_a_matrix_becomes_a_convolution() {
        let matrix = Tensor::arange(24_i64, (Kind::Float, Device::Cpu)).reshape([2, 12]);
        let name = "vision_model.embeddings.patch_embedding.weight";
        let found = huggingface_clip(Tensors::from([(name.to_owned(), matrix)])).unwrap();
        let weight = &found["patch_embed.proj.weight"];
        assert_eq!(weight.size(), [2, 3, 2, 2]);
        // Row 1, column 0, colour 2 of a patch of 2 x 2 pixels is number 8.
        assert_eq!(weight.double_value(&[1, 2, 1, 0]), 20.0);
        let wrong = Tensor::zeros([2, 10], (Kind::Float, Device::Cpu));
        let message = huggingface_clip(Tensors::from([(name.to_owned(), wrong)])).unwrap_err();
        let expected = "patch_embed.proj.weight: expected [dim, 3 * patch_size^2], found [2, 10]";
        assert_eq!(message.to_string(), expected);
    }

    #[test]
    fn tokens_become_those_of_one_image_and_other_shapes_are_named() {
        let file = |name: &str, shape: &[i64]| {
            let tensor = Tensor::ones(shape, (Kind::Float, Device::Cpu));
            Tensors::from([(name.to_owned(), tensor)])
        };
        let positions = "vision_model.embeddings.position_embedding.weight";
        let named = huggingface_clip(file(positions, &[5, 4])).unwrap();
        assert_eq!(named["pos_embed"].size(), [1, 5, 4]);
        let message = huggingface_clip(file(positions, &[5])).unwrap_err().to_string();
        assert_eq!(message, "pos_embed: expected [positions, dim], found [5]");
        let pool = huggingface_clip(file("head.attention.in_proj_weight", &[12, 4])).unwrap();
        assert_eq!(pool["attn_pool.kv.weight"].size(), [8, 4]);
        let message = huggingface_clip(file("head.attention.in_proj_bias", &[5])).unwrap_err();
        assert!(message.to_string().contains("one behind the other, found [5]"));
        let head = huggingface_clip(file("visual_projection.weight", &[2, 4])).unwrap();
        assert_eq!(head["head.bias"].size(), [2]);
    }
}
