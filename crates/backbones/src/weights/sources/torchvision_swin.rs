//! TorchVision's `SwinTransformer`, first version.

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::source::Source;

/// TorchVision's Swin, first version.
pub const TORCHVISION_SWIN: Source = Source {
    pads_before_roll: true,
    block: Some(r"features\.\d+\.\d+\.attn\."),
    ..Source::new("TorchVision's Swin", &["features.1.0.attn.qkv.weight"], |t| {
        Ok(torchvision_swin(t))
    })
};

const TOP: [(&str, &str); 3] = [
    ("features.0.0.", "patch_embed.proj."),
    ("features.0.2.", "patch_embed.norm."),
    ("head.", "head.fc."),
];

/// Everything else in a block has timm's name.
const BLOCK: [(&str, &str); 2] = [("mlp.0.", "mlp.fc1."), ("mlp.3.", "mlp.fc2.")];

/// Names of TorchVision's Swin in timm's words; `relative_position_index`, which a Swin computes,
/// is left out.
fn torchvision_swin(tensors: Tensors) -> Tensors {
    let stored = tensors.into_iter().filter(|(name, _)| !name.ends_with("relative_position_index"));
    let rename = |name: String| renamed(&name).unwrap_or(name);
    stored.map(|(name, tensor)| (rename(name), tensor)).collect()
}

/// In `features`, entry 0 embeds patches; then stages at odd entries alternate with mergings.
fn renamed(name: &str) -> Option<String> {
    if let Some(top) = replace_prefix(name, &TOP) {
        return Some(top);
    }
    let (entry, rest) = name.strip_prefix("features.")?.split_once('.')?;
    let entry: usize = entry.parse().ok()?;
    if entry.is_multiple_of(2) {
        return Some(format!("layers.{}.downsample.{rest}", entry / 2));
    }
    let (block, rest) = rest.split_once('.')?;
    let rest = replace_prefix(rest, &BLOCK).unwrap_or_else(|| rest.to_owned());
    Some(format!("layers.{}.blocks.{block}.{rest}", entry / 2))
}
