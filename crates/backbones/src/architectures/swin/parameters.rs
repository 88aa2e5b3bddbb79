//! What the names and shapes of a Swin's parameters tell.

use polyptych_tensor::Tensors;

use super::config::SwinConfig;
use crate::architectures::names::{Shapes, is_affine, is_of_block, numbered};
use crate::architectures::summary::{Summary, count_blocks, embed_dim};
use crate::weights::resample::square_side;

const TOP: [&str; 4] = ["patch_embed.proj", "patch_embed.norm", "norm", "head.fc"];

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    let below = numbered(name, "layers.");
    is_affine(name, &TOP)
        || below.is_some_and(|below| {
            below == "downsample.reduction.weight"
                || is_affine(below, &["downsample.norm"])
                || is_of_block(below, &["attn.relative_position_bias_table"])
        })
}

impl SwinConfig {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        let (embed_dim, depths) = (self.embed_dim, self.depths.clone());
        Summary { architecture: "Swin", embed_dim, depths }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let stages = (0..).map(|stage| count_blocks(tensors, &format!("layers.{stage}.")));
        let depths: Vec<usize> = stages.take_while(|&depth| depth > 0).collect();
        let embed_dim = embed_dim(tensors)?;
        let architecture = "Swin";
        (!depths.is_empty()).then_some(Summary { architecture, embed_dim, depths })
    }

    /// What `tensors` are of, taken to be for the smallest image that its windows fit; `None` where
    /// they are no whole Swin.
    pub(super) fn of_tensors(tensors: &Tensors) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let stages = summary.depths.len();
        let patch_size = shapes.size("patch_embed.proj.weight", 2)?;
        let table = |stage, axis| {
            let name = format!("layers.{stage}.blocks.0.attn.relative_position_bias_table");
            shapes.size(&name, axis)
        };
        let window = |stage| Some((square_side(table(stage, 0)?)? + 1) / 2);
        let windows = (0..stages).map(window).collect::<Option<Vec<_>>>()?;
        let widest = *windows.iter().max()?;
        let config = Self {
            img_size: [windows[stages - 1].checked_mul(patch_size << (stages - 1))?; 2],
            patch_size,
            in_chans: shapes.size("patch_embed.proj.weight", 1)?,
            num_classes: shapes.size("head.fc.weight", 0).unwrap_or(0),
            embed_dim: summary.embed_dim,
            num_heads: (0..stages).map(|stage| table(stage, 1)).collect::<Option<_>>()?,
            window_size: widest.into(),
            mlp_ratio: shapes.mlp_ratio("layers.0.blocks.0", summary.embed_dim)?,
            qkv_bias: shapes.has("layers.0.blocks.0.attn.qkv.bias"),
            depths: summary.depths,
            drop_path_rate: 0.0,
        };
        let fits = |config: &Self| {
            windows.iter().enumerate().all(|(at, &side)| config.window(at) == Some([side; 2]))
        };
        // One extent for all stages explains windows that shrink to their maps; no other.
        let per_stage = Self { window_size: windows.clone().into(), ..config.clone() };
        [config, per_stage].into_iter().find(fits)
    }
}
