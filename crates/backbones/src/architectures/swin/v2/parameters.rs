//! What the names and shapes of a Swin V2's parameters tell.

use polyptych_tensor::Tensors;
use serde_json::{Map, Value};

use super::config::SwinV2Config;
use crate::architectures::names::{Shapes, is_affine, is_of_block, numbered};
use crate::architectures::summary::{Summary, count_blocks, embed_dim};

const TOP: [&str; 4] = ["patch_embed.proj", "patch_embed.norm", "norm", "head.fc"];
const BLOCK: [&str; 6] = [
    "attn.q_bias",
    "attn.v_bias",
    "attn.logit_scale",
    "attn.cpb_mlp.0.weight",
    "attn.cpb_mlp.0.bias",
    "attn.cpb_mlp.2.weight",
];
/// What no shape tells, of the smallest published models.
const WINDOW: i64 = 8;
const SIDE: i64 = 256;

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    let below = numbered(name, "layers.");
    is_affine(name, &TOP)
        || below.is_some_and(|below| {
            below == "downsample.reduction.weight"
                || is_affine(below, &["downsample.norm"])
                || (is_of_block(below, &BLOCK) && !below.ends_with("attn.qkv.bias"))
        })
}

impl SwinV2Config {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        let (embed_dim, depths) = (self.embed_dim, self.depths.clone());
        Summary { architecture: "Swin V2", embed_dim, depths }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let depth = |stage: usize| count_blocks(tensors, &format!("layers.{stage}."));
        let depths: Vec<usize> = (0..).map(depth).take_while(|&depth| depth > 0).collect();
        let found = tensors.contains_key("layers.0.blocks.0.attn.logit_scale");
        let embed_dim = embed_dim(tensors)?;
        found.then_some(Summary { architecture: "Swin V2", embed_dim, depths })
    }

    /// What `tensors` are of, with images and windows that `fields` of Hugging Face's name; `None`
    /// where they are no whole Swin V2.
    pub(super) fn of_tensors(tensors: &Tensors, fields: &Map<String, Value>) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let stages = summary.depths.len();
        let heads =
            |stage: usize| shapes.size(&format!("layers.{stage}.blocks.0.attn.logit_scale"), 0);
        let field = |name: &str| fields.get(name).and_then(Value::as_i64);
        let pretrained = fields.get("pretrained_window_sizes").and_then(Value::as_array);
        // Hugging Face's default has four, also for trunks of fewer stages.
        let sizes = |all: &Vec<Value>| all.iter().filter_map(Value::as_i64).take(stages).collect();
        let pretrained = pretrained.map(sizes);
        Some(Self {
            img_size: [field("image_size").unwrap_or(SIDE); 2],
            patch_size: shapes.size("patch_embed.proj.weight", 2)?,
            in_chans: shapes.size("patch_embed.proj.weight", 1)?,
            num_classes: shapes.size("head.fc.weight", 0).unwrap_or(0),
            embed_dim: summary.embed_dim,
            num_heads: (0..stages).map(heads).collect::<Option<_>>()?,
            window_size: field("window_size").unwrap_or(WINDOW).into(),
            pretrained_window_sizes: pretrained.unwrap_or_default(),
            mlp_ratio: shapes.mlp_ratio("layers.0.blocks.0", summary.embed_dim)?,
            qkv_bias: shapes.has("layers.0.blocks.0.attn.q_bias"),
            depths: summary.depths,
            drop_path_rate: 0.0,
        })
    }
}
