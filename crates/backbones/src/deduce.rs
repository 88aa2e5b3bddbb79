//! The configuration of a backbone from its tensors alone.

use polyptych_tensor::Tensors;

use crate::config::variants;
use crate::resample::square_side;
use crate::{BackboneConfig, GlobalPool, Outline, SwinConfig, VitConfig};

/// Channels of one head in timm's ViTs.
const PER_HEAD: i64 = 64;

impl BackboneConfig {
    /// What `tensors` with timm's names are of, by their names and shapes; `None` where they are
    /// no whole backbone.
    ///
    /// No shape tells how many heads share a ViT's channels: `num_heads` does, or a named
    /// architecture of the same width and depth; else there is one for each 64 channels, as in
    /// timm's, or a single one. A Swin is taken to be for the smallest image that its windows fit.
    pub fn of_tensors(tensors: &Tensors, num_heads: Option<i64>) -> Option<Self> {
        let outline = Outline::of(tensors)?;
        let parts = Parts { tensors };
        Some(match outline.architecture {
            "Swin" => BackboneConfig::Swin(parts.swin(outline)?),
            _ => BackboneConfig::Vit(parts.vit(&outline, num_heads)?),
        })
    }
}

struct Parts<'a> {
    tensors: &'a Tensors,
}

impl Parts<'_> {
    fn vit(&self, outline: &Outline, num_heads: Option<i64>) -> Option<VitConfig> {
        let dim = outline.embed_dim;
        let class_token = self.has("cls_token");
        let patches = self.size("pos_embed", 1)? - i64::from(class_token);
        let patch_size = self.size("patch_embed.proj.weight", 2)?;
        let heads = if dim % PER_HEAD == 0 { dim / PER_HEAD } else { 1 };
        let pool = if self.has("fc_norm.weight") { GlobalPool::Avg } else { GlobalPool::Token };
        Some(VitConfig {
            img_size: [square_side(patches)? * patch_size; 2],
            patch_size,
            in_chans: self.size("patch_embed.proj.weight", 1)?,
            num_classes: self.size("head.weight", 0).unwrap_or(0),
            embed_dim: dim,
            depth: outline.depths[0],
            num_heads: num_heads.or_else(|| named_heads(outline)).unwrap_or(heads),
            mlp_ratio: self.mlp_ratio("blocks.0", dim)?,
            qkv_bias: self.has("blocks.0.attn.qkv.bias"),
            init_values: self.has("blocks.0.ls1.gamma").then_some(1.0),
            class_token,
            global_pool: pool,
            drop_path_rate: 0.0,
        })
    }

    fn swin(&self, outline: Outline) -> Option<SwinConfig> {
        let stages = outline.depths.len();
        let patch_size = self.size("patch_embed.proj.weight", 2)?;
        let table = |stage, axis| {
            let name = format!("layers.{stage}.blocks.0.attn.relative_position_bias_table");
            self.size(&name, axis)
        };
        let window = |stage| Some((square_side(table(stage, 0)?)? + 1) / 2);
        let windows = (0..stages).map(window).collect::<Option<Vec<_>>>()?;
        Some(SwinConfig {
            img_size: [windows[stages - 1].checked_mul(patch_size << (stages - 1))?; 2],
            patch_size,
            in_chans: self.size("patch_embed.proj.weight", 1)?,
            num_classes: self.size("head.fc.weight", 0).unwrap_or(0),
            embed_dim: outline.embed_dim,
            num_heads: (0..stages).map(|stage| table(stage, 1)).collect::<Option<_>>()?,
            window_size: *windows.iter().max()?,
            mlp_ratio: self.mlp_ratio("layers.0.blocks.0", outline.embed_dim)?,
            qkv_bias: self.has("layers.0.blocks.0.attn.qkv.bias"),
            depths: outline.depths,
            drop_path_rate: 0.0,
        })
    }

    fn mlp_ratio(&self, block: &str, dim: i64) -> Option<f64> {
        Some(self.size(&format!("{block}.mlp.fc1.weight"), 0)? as f64 / dim as f64)
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn size(&self, name: &str, axis: usize) -> Option<i64> {
        self.tensors.get(name)?.size().get(axis).copied()
    }
}

/// The heads of a named ViT with this outline.
fn named_heads(outline: &Outline) -> Option<i64> {
    let heads = |(_, config): (_, BackboneConfig)| match config {
        BackboneConfig::Vit(ref vit) if Outline::of_config(&config) == *outline => {
            Some(vit.num_heads)
        }
        _ => None,
    };
    variants().into_iter().find_map(heads)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Options;
    use polyptych_tensor::{Device, NoAdapter, Store};

    #[test]
    fn small_named_backbones_are_known_by_their_tensors() {
        for name in
            ["swin_micro_patch4_window4_128", "vit_micro_patch8_128", "vit_tiny_patch16_224"]
        {
            let config = BackboneConfig::from_name(name).unwrap().with_drop_path_rate(0.0);
            let store = Store::new(Device::Cpu);
            config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
            let mut tensors: Tensors = store.tensors().into_iter().collect();
            assert_eq!(BackboneConfig::of_tensors(&tensors, None), Some(config), "{name}");
            tensors.retain(|name, _| !name.contains("mlp.fc1.weight"));
            assert_eq!(BackboneConfig::of_tensors(&tensors, None), None, "{name}");
        }
    }
}
