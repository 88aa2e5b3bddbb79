//! TorchVision's `VisionTransformer`.

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::source::Source;

/// TorchVision's ViT.
pub const TORCHVISION_VIT: Source = Source {
    block: Some(r"encoder\.layers\.encoder_layer_\d+\."),
    ..Source::new("TorchVision's ViT", &["encoder.layers.encoder_layer_"], |t| {
        Ok(torchvision_vit(t))
    })
};

const TOP: [(&str, &str); 5] = [
    ("class_token", "cls_token"),
    ("conv_proj.", "patch_embed.proj."),
    ("encoder.pos_embedding", "pos_embed"),
    ("encoder.ln.", "norm."),
    ("heads.head.", "head."),
];

/// Old files call the perceptron's layers `linear_1` and `linear_2`.
const BLOCK: [(&str, &str); 8] = [
    ("ln_1.", "norm1."),
    ("ln_2.", "norm2."),
    ("self_attention.in_proj_", "attn.qkv."),
    ("self_attention.out_proj.", "attn.proj."),
    ("mlp.0.", "mlp.fc1."),
    ("mlp.3.", "mlp.fc2."),
    ("mlp.linear_1.", "mlp.fc1."),
    ("mlp.linear_2.", "mlp.fc2."),
];

/// Names of TorchVision's ViT in timm's words.
fn torchvision_vit(tensors: Tensors) -> Tensors {
    let rename = |name: String| renamed(&name).unwrap_or(name);
    tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

fn renamed(name: &str) -> Option<String> {
    let Some(block) = name.strip_prefix("encoder.layers.encoder_layer_") else {
        return replace_prefix(name, &TOP);
    };
    let (index, rest) = block.split_once('.')?;
    Some(format!("blocks.{index}.{}", replace_prefix(rest, &BLOCK)?))
}
