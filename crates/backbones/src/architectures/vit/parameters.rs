//! What the names and shapes of a ViT's parameters tell.

use polyptych_tensor::Tensors;

use super::config::{CLIP_NORM_EPS, GlobalPool, NORM_EPS, VitConfig};
use crate::architectures::names::{Shapes, is_affine, is_of_block};
use crate::architectures::summary::{Summary, count_blocks, embed_dim};
use crate::blocks::act_layer::ActLayer;
use crate::weights::resample::square_side;

/// Channels of one head in timm's ViTs.
const PER_HEAD: i64 = 64;
const TOP: [&str; 12] = [
    "patch_embed.proj",
    "norm_pre",
    "norm",
    "fc_norm",
    "head",
    "head_dist",
    "attn_pool.q",
    "attn_pool.kv",
    "attn_pool.proj",
    "attn_pool.norm",
    "attn_pool.mlp.fc1",
    "attn_pool.mlp.fc2",
];
const TOKENS: [&str; 5] = ["cls_token", "dist_token", "reg_token", "pos_embed", "attn_pool.latent"];

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    TOKENS.contains(&name)
        || is_affine(name, &TOP)
        || is_of_block(name, &["ls1.gamma", "ls2.gamma"])
}

impl VitConfig {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        Summary { architecture: "ViT", embed_dim: self.embed_dim, depths: vec![self.depth] }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let depths = vec![count_blocks(tensors, "")];
        let embed_dim = embed_dim(tensors)?;
        (depths[0] > 0).then_some(Summary { architecture: "ViT", embed_dim, depths })
    }

    /// What `tensors` are of; `None` where they are no whole ViT.
    ///
    /// No shape tells how many heads share the channels: `num_heads` does, or a named variant of
    /// the same width and depth, and of the same pooling if there is one; else there is one for each 64 channels, as in timm's, or a single
    /// one.
    pub(super) fn of_tensors(tensors: &Tensors, num_heads: Option<i64>) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let dim = summary.embed_dim;
        let class_token = shapes.has("cls_token");
        let reg_tokens = shapes.size("reg_token", 1).unwrap_or(0);
        let positions = shapes.size("pos_embed", 1)?;
        let distilled = shapes.has("dist_token");
        let prefix = i64::from(class_token) + i64::from(distilled) + reg_tokens;
        // Both could be squares only for a single patch.
        let side = |patches: i64| square_side(patches).map(|side| (side, patches != positions));
        let (side, embedded) = side(positions - prefix).or_else(|| side(positions))?;
        let patch_size = shapes.size("patch_embed.proj.weight", 2)?;
        let heads = if dim % PER_HEAD == 0 { dim / PER_HEAD } else { 1 };
        let pool = pool_of(shapes, class_token);
        let pre_norm = shapes.has("norm_pre.weight");
        let fc_norm = shapes.has("fc_norm.weight");
        let hidden = shapes.size("blocks.0.mlp.fc2.weight", 1)?;
        Some(Self {
            img_size: [side.checked_mul(patch_size)?; 2],
            patch_size,
            in_chans: shapes.size("patch_embed.proj.weight", 1)?,
            num_classes: shapes.size("head.weight", 0).unwrap_or(0),
            embed_dim: dim,
            depth: summary.depths[0],
            num_heads: num_heads.or_else(|| named_heads(&summary, pool)).unwrap_or(heads),
            mlp_ratio: shapes.mlp_ratio("blocks.0", dim)?,
            swiglu_mlp: shapes.size("blocks.0.mlp.fc1.weight", 0)? == 2 * hidden,
            qkv_bias: shapes.has("blocks.0.attn.qkv.bias"),
            init_values: shapes.has("blocks.0.ls1.gamma").then_some(1.0),
            class_token,
            reg_tokens,
            no_embed_class: prefix > 0 && !embedded,
            pre_norm,
            distilled,
            global_pool: pool,
            // A trunk that was cut in front of its norms has neither.
            fc_norm: (pool == GlobalPool::Avg && !fc_norm && shapes.has("norm.weight"))
                .then_some(false),
            norm_eps: if pre_norm { CLIP_NORM_EPS } else { NORM_EPS },
            act_layer: ActLayer::Gelu,
            drop_path_rate: 0.0,
        })
    }
}

fn pool_of(shapes: Shapes, class_token: bool) -> GlobalPool {
    if shapes.has("attn_pool.latent") {
        GlobalPool::Map
    } else if shapes.has("fc_norm.weight") || !class_token {
        GlobalPool::Avg
    } else {
        GlobalPool::Token
    }
}

/// The heads of a named ViT of this width and depth, the first with this pooling if there is one.
fn named_heads(summary: &Summary, pool: GlobalPool) -> Option<i64> {
    let variants = VitConfig::variants().into_iter().map(|(_, config)| config);
    let same = variants.filter(|config| config.summarized() == *summary);
    same.min_by_key(|config| config.global_pool != pool).map(|config| config.num_heads)
}
