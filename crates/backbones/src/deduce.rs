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
        let reg_tokens = self.size("reg_token", 1).unwrap_or(0);
        let positions = self.size("pos_embed", 1)?;
        let prefix = i64::from(class_token) + reg_tokens;
        // Both could be squares only for a single patch.
        let side = |patches: i64| square_side(patches).map(|side| (side, patches != positions));
        let (side, embedded) = side(positions - prefix).or_else(|| side(positions))?;
        let patch_size = self.size("patch_embed.proj.weight", 2)?;
        let heads = if dim % PER_HEAD == 0 { dim / PER_HEAD } else { 1 };
        let pool = if self.has("fc_norm.weight") { GlobalPool::Avg } else { GlobalPool::Token };
        Some(VitConfig {
            img_size: [side.checked_mul(patch_size)?; 2],
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
            reg_tokens,
            no_embed_class: prefix > 0 && !embedded,
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
        let widest = *windows.iter().max()?;
        let config = SwinConfig {
            img_size: [windows[stages - 1].checked_mul(patch_size << (stages - 1))?; 2],
            patch_size,
            in_chans: self.size("patch_embed.proj.weight", 1)?,
            num_classes: self.size("head.fc.weight", 0).unwrap_or(0),
            embed_dim: outline.embed_dim,
            num_heads: (0..stages).map(|stage| table(stage, 1)).collect::<Option<_>>()?,
            window_size: widest.into(),
            mlp_ratio: self.mlp_ratio("layers.0.blocks.0", outline.embed_dim)?,
            qkv_bias: self.has("layers.0.blocks.0.attn.qkv.bias"),
            depths: outline.depths,
            drop_path_rate: 0.0,
        };
        let cuts = |config: &SwinConfig| {
            windows.iter().enumerate().all(|(at, &side)| config.window(at) == Some([side; 2]))
        };
        // One extent for all stages explains windows that shrink to their maps; no other.
        let per_stage = SwinConfig { window_size: windows.clone().into(), ..config.clone() };
        [config, per_stage].into_iter().find(cuts)
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

/// The first tensor with a name that none of our ViTs or Swins has: what it belongs to computes
/// something else.
pub fn unplaced(tensors: &Tensors) -> Option<&str> {
    tensors.keys().map(String::as_str).find(|name| !is_placed(name))
}

fn is_placed(name: &str) -> bool {
    const AFFINE: [&str; 2] = ["weight", "bias"];
    const TOP: [&str; 6] =
        ["patch_embed.proj", "patch_embed.norm", "norm", "fc_norm", "head", "head.fc"];
    const BLOCK: [&str; 6] = ["norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"];
    const ALONE: [&str; 3] = ["ls1.gamma", "ls2.gamma", "attn.relative_position_bias_table"];
    if ["cls_token", "reg_token", "pos_embed"].contains(&name) {
        return true;
    }
    let Some((path, part)) = name.rsplit_once('.') else { return false };
    let affine = AFFINE.contains(&part);
    let inner = numbered(path, "layers.").unwrap_or(path);
    match numbered(name, "layers.").unwrap_or(name) {
        _ if affine && TOP.contains(&path) => true,
        "downsample.reduction.weight" => inner != path,
        below => match numbered(below, "blocks.") {
            Some(below) if ALONE.contains(&below) => true,
            Some(below) => {
                affine && below.rsplit_once('.').is_some_and(|(module, _)| BLOCK.contains(&module))
            }
            None => affine && inner == "downsample.norm",
        },
    }
}

/// What stands behind `prefix` and a number.
fn numbered<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Options;
    use polyptych_tensor::{Device, NoAdapter, Store};

    #[test]
    fn small_named_backbones_are_known_by_their_tensors() {
        for name in [
            "swin_micro_patch4_window4_128",
            "vit_micro_patch8_128",
            "vit_tiny_patch16_224",
            "vit_little_patch16_reg4_gap_256",
            "vit_small_patch14_reg4_dinov2",
            "swin_s3_tiny_224",
        ] {
            let config = BackboneConfig::from_name(name).unwrap().with_drop_path_rate(0.0);
            let store = Store::new(Device::Cpu);
            config.init(&store.root(), &NoAdapter::Frozen, Options::default()).unwrap();
            let mut tensors: Tensors = store.tensors().into_iter().collect();
            let init_values = |config: BackboneConfig| match config {
                BackboneConfig::Vit(vit) => {
                    let init_values = vit.init_values.map(|_| 1.0);
                    BackboneConfig::Vit(VitConfig { init_values, ..vit })
                }
                swin => swin,
            };
            let found = BackboneConfig::of_tensors(&tensors, None);
            assert_eq!(found, Some(init_values(config)), "{name}");
            assert_eq!(unplaced(&tensors), None, "{name}");
            tensors.retain(|name, _| !name.contains("mlp.fc1.weight"));
            assert_eq!(BackboneConfig::of_tensors(&tensors, None), None, "{name}");
        }
    }

    #[test]
    fn names_of_other_architectures_are_unplaced() {
        for name in [
            "norm_pre.weight",
            "dist_token",
            "absolute_pos_embed",
            "blocks.0.attn.q_norm.weight",
            "blocks.0.attn.rel_pos.relative_position_bias_table",
            "blocks.0.mlp.fc1_g.weight",
            "blocks.0.mlp.norm.weight",
            "blocks.0.gamma_1",
            "blocks.0.ls1.beta",
            "attn_pool.latent",
            "layers.0.downsample.bias",
            "decoder_blocks.0.norm1.weight",
            "neck.0.weight",
        ] {
            assert!(!is_placed(name), "{name}");
        }
    }
}
