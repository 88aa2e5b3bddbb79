//! What the names and shapes of a BEiT's parameters tell.

use polyptych_tensor::Tensors;

use super::config::BeitConfig;
use super::relative_bias::EXTRA;
use crate::architectures::names::{Shapes, is_affine, is_of_block, numbered};
use crate::architectures::summary::{Summary, count_blocks, embed_dim};
use crate::architectures::vit::GlobalPool;
use crate::weights::resample::square_side;

const TOP: [&str; 4] = ["patch_embed.proj", "norm", "fc_norm", "head"];
const ALONE: [&str; 3] = ["cls_token", "pos_embed", SHARED];
const SHARED: &str = "rel_pos_bias.relative_position_bias_table";
const OWN: &str = "blocks.0.attn.relative_position_bias_table";
const BLOCK: [&str; 5] =
    ["gamma_1", "gamma_2", "attn.q_bias", "attn.v_bias", "attn.relative_position_bias_table"];

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    ALONE.contains(&name)
        || is_affine(name, &TOP)
        || (is_of_block(name, &BLOCK) && numbered(name, "blocks.") != Some("attn.qkv.bias"))
}

impl BeitConfig {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        Summary { architecture: "BEiT", embed_dim: self.embed_dim, depths: vec![self.depth] }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let is_one = [OWN, SHARED].iter().any(|name| tensors.contains_key(*name));
        let (embed_dim, depths) = (embed_dim(tensors)?, vec![count_blocks(tensors, "")]);
        is_one.then_some(Summary { architecture: "BEiT", embed_dim, depths })
    }

    /// What `tensors` are of; `None` where they are no BEiT with tables of relative positions.
    pub(super) fn of_tensors(tensors: &Tensors) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let table = if shapes.has(OWN) { OWN } else { SHARED };
        let offsets = square_side(shapes.size(table, 0)? - EXTRA)?;
        let patch_size = shapes.size("patch_embed.proj.weight", 2)?;
        let tokens = shapes.has("norm.weight");
        Some(Self {
            img_size: [(offsets + 1) / 2 * patch_size; 2],
            patch_size,
            in_chans: shapes.size("patch_embed.proj.weight", 1)?,
            num_classes: shapes.size("head.weight", 0).unwrap_or(0),
            global_pool: if tokens { GlobalPool::Token } else { GlobalPool::Avg },
            embed_dim: summary.embed_dim,
            depth: summary.depths[0],
            num_heads: shapes.size(table, 1)?,
            qkv_bias: shapes.has("blocks.0.attn.q_bias"),
            mlp_ratio: shapes.mlp_ratio("blocks.0", summary.embed_dim)?,
            init_values: shapes.has("blocks.0.gamma_1").then_some(1.0),
            use_abs_pos_emb: shapes.has("pos_embed"),
            use_rel_pos_bias: shapes.has(OWN),
            use_shared_rel_pos_bias: shapes.has(SHARED),
            use_fc_norm: None,
            drop_path_rate: 0.0,
        })
    }
}
