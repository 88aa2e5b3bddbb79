//! Swin as its authors publish it (`.pth`, entry `model`), and as timm had it before version 0.9.

use polyptych_tensor::Tensors;

use super::source::Source;

/// Swin's authors, and timm's Swin of old. Blocks have timm's names.
pub const MICROSOFT_SWIN: Source =
    Source::new("Microsoft's Swin", &["layers.0.downsample."], |t| Ok(microsoft_swin(t)));

/// Names of the authors' Swin in timm's words.
///
/// There, a patch merging closes the stage before it, and the classifier is called `head`; timm
/// now opens the next stage with the merging and calls the classifier `head.fc`.
/// `relative_position_index` and `attn_mask`, which a Swin computes, keep their names.
pub(super) fn microsoft_swin(tensors: Tensors) -> Tensors {
    let rename = |name: String| renamed(&name).unwrap_or(name);
    tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

fn renamed(name: &str) -> Option<String> {
    if let Some(part) = name.strip_prefix("head.") {
        return Some(format!("head.fc.{part}"));
    }
    let (stage, rest) = name.strip_prefix("layers.")?.split_once('.')?;
    let stage: usize = stage.parse().ok()?;
    rest.starts_with("downsample.").then(|| format!("layers.{}.{rest}", stage + 1))
}
