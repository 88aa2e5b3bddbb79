//! What the names and shapes of a PVT's parameters tell.

use polyptych_tensor::Tensors;

use super::config::PvtV2Config;
use crate::architectures::names::{Shapes, is_affine, numbered};
use crate::architectures::summary::{Summary, count_blocks};

const TOP: [&str; 3] = ["patch_embed.proj", "patch_embed.norm", "head"];
const STAGE: [&str; 3] = ["downsample.proj", "downsample.norm", "norm"];
const BLOCK: [&str; 10] = [
    "norm1",
    "norm2",
    "attn.q",
    "attn.kv",
    "attn.sr",
    "attn.norm",
    "attn.proj",
    "mlp.fc1",
    "mlp.dwconv",
    "mlp.fc2",
];
/// Channels of one head in published models.
const PER_HEAD: [i64; 2] = [32, 64];

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    let stage = numbered(name, "stages.");
    let block = stage.and_then(|stage| numbered(stage, "blocks."));
    is_affine(name, &TOP)
        || stage.is_some_and(|inner| is_affine(inner, &STAGE))
        || block.is_some_and(|inner| is_affine(inner, &BLOCK))
}

impl PvtV2Config {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        let embed_dim = self.embed_dims.first().copied().unwrap_or(0);
        Summary { architecture: "PVT v2", embed_dim, depths: self.depths.clone() }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let embed_dim = Shapes(tensors).size("stages.0.blocks.0.attn.kv.weight", 1)?;
        let depth = |stage: usize| count_blocks(tensors, &format!("stages.{stage}."));
        let depths = (0..).map(depth).take_while(|&depth| depth > 0).collect();
        Some(Summary { architecture: "PVT v2", embed_dim, depths })
    }

    /// What `tensors` are of, for images of 224 pixels; `None` where they are no whole PVT.
    ///
    /// No shape tells how many heads share the channels: `num_heads` does, per stage; else they are
    /// those of published models, of 32 channels in the smallest and of 64 in the others.
    pub(super) fn of_tensors(tensors: &Tensors, num_heads: Option<Vec<i64>>) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let size = |stage: usize, name: &str, axis: usize| {
            shapes.size(&format!("stages.{stage}.blocks.0.{name}.weight"), axis)
        };
        let stages = 0..summary.depths.len();
        let dims: Vec<i64> =
            stages.clone().map(|stage| size(stage, "attn.q", 0)).collect::<Option<_>>()?;
        let hidden = stages.clone().map(|stage| size(stage, "mlp.fc1", 0));
        let ratio = |(hidden, dim): (Option<i64>, &i64)| Some(hidden? as f64 / *dim as f64);
        let per_head = PER_HEAD[usize::from(summary.embed_dim % PER_HEAD[1] == 0)];
        let of_dim = |dim: &i64| (dim / per_head).max(1);
        let kernels: Vec<i64> =
            stages.clone().map(|stage| size(stage, "attn.sr", 2).unwrap_or(1)).collect();
        let linear = shapes.has("stages.0.blocks.0.attn.sr.weight") && kernels[0] == 1;
        Some(Self {
            img_size: [224; 2],
            in_chans: shapes.size("patch_embed.proj.weight", 1)?,
            num_classes: shapes.size("head.weight", 0).unwrap_or(0),
            num_heads: num_heads.unwrap_or_else(|| dims.iter().map(of_dim).collect()),
            sr_ratios: kernels,
            mlp_ratios: hidden.zip(&dims).map(ratio).collect::<Option<_>>()?,
            qkv_bias: shapes.has("stages.0.blocks.0.attn.q.bias"),
            linear,
            embed_dims: dims,
            depths: summary.depths,
            drop_path_rate: 0.0,
        })
    }
}
