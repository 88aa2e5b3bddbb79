//! What the names and shapes of an Eva's parameters tell.

use polyptych_tensor::Tensors;

use super::config::{DINO_NORM_EPS, EvaConfig, NORM_EPS, RopeType};
use crate::architectures::names::{Shapes, is_affine, is_of_block, numbered};
use crate::architectures::summary::{Summary, count_blocks, embed_dim};
use crate::architectures::vit::GlobalPool;
use crate::weights::resample::square_side;

/// Channels of one head in timm's.
const PER_HEAD: i64 = 64;
const TOKENS: [&str; 3] = ["cls_token", "reg_token", "pos_embed"];
const TOP: [&str; 4] = ["patch_embed.proj", "norm", "fc_norm", "head"];
const BLOCK: [&str; 7] = [
    "attn.q_proj",
    "attn.k_proj",
    "attn.v_proj",
    "attn.norm",
    "mlp.fc1_g",
    "mlp.fc1_x",
    "mlp.norm",
];
const ALONE: [&str; 4] = ["attn.q_bias", "attn.v_bias", "gamma_1", "gamma_2"];
/// What the hidden units of gates of their own are a multiple of in DINOv3.
const ALIGN: i64 = 8;
/// Patches along a side that EVA-02 was trained with.
const REFERENCE: [i64; 2] = [16; 2];
/// Height and width where no tensor tells them.
const SIDE: i64 = 256;

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    let inner = numbered(name, "blocks.");
    TOKENS.contains(&name)
        || is_affine(name, &TOP)
        || inner.is_some_and(|inner| is_affine(inner, &BLOCK) && inner != "attn.k_proj.bias")
        || (is_of_block(name, &ALONE) && inner != Some("attn.qkv.bias"))
}

impl EvaConfig {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        Summary { architecture: "Eva", embed_dim: self.embed_dim, depths: vec![self.depth] }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let shapes = Shapes(tensors);
        let is_one = shapes.has("blocks.0.gamma_1") || shapes.has("blocks.0.attn.q_bias");
        let is_one = is_one || shapes.has("blocks.0.attn.q_proj.weight");
        let (embed_dim, depths) = (embed_dim(tensors)?, vec![count_blocks(tensors, "")]);
        is_one.then_some(Summary { architecture: "Eva", embed_dim, depths })
    }

    /// What `tensors` are of; `None` where they are neither a DINOv3 nor an EVA-02.
    ///
    /// No shape tells how many heads share the channels: `num_heads` does, or a named variant of the
    /// same width and depth; else there is one for each 64 channels, as in most of timm's.
    pub(super) fn of_tensors(tensors: &Tensors, num_heads: Option<i64>) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let (dim, learned) = (summary.embed_dim, shapes.has("pos_embed"));
        let block = |name: &str| shapes.has(&format!("blocks.0.{name}"));
        let gated = block("mlp.fc1_g.weight");
        let first = if gated { "mlp.fc1_x" } else { "mlp.fc1" };
        let rows = shapes.size(&format!("blocks.0.{first}.weight"), 0)?;
        let hidden = shapes.size("blocks.0.mlp.fc2.weight", 1)?;
        let dino = !learned && shapes.has("cls_token") && !shapes.has("fc_norm.weight");
        let eva02 = learned && shapes.has("cls_token") && (gated || rows == 2 * hidden);
        let scaled = block("mlp.norm.weight");
        let patch_size = shapes.size("patch_embed.proj.weight", 2)?;
        let registers = shapes.size("reg_token", 1).unwrap_or(0);
        let side = match learned {
            true => square_side(shapes.size("pos_embed", 1)? - 1 - registers)? * patch_size,
            false => SIDE,
        };
        let tokens = learned && shapes.has("norm.weight");
        let heads = (dim / PER_HEAD).max(1);
        (dino || eva02).then_some(Self {
            img_size: [side; 2],
            patch_size,
            in_chans: shapes.size("patch_embed.proj.weight", 1)?,
            num_classes: shapes.size("head.weight", 0).unwrap_or(0),
            global_pool: if tokens { GlobalPool::Token } else { GlobalPool::Avg },
            embed_dim: dim,
            depth: summary.depths[0],
            num_heads: num_heads.or_else(|| named_heads(&summary)).unwrap_or(heads),
            qkv_bias: block("attn.q_bias") || block("attn.q_proj.bias"),
            qkv_fused: block("attn.qkv.weight"),
            mlp_ratio: hidden as f64 / dim as f64,
            swiglu_mlp: gated || rows == 2 * hidden,
            swiglu_align_to: if gated && !scaled { ALIGN } else { 0 },
            scale_mlp: scaled,
            scale_attn_inner: block("attn.norm.weight"),
            init_values: block("gamma_1").then_some(1.0),
            class_token: true,
            num_reg_tokens: registers,
            use_abs_pos_emb: learned,
            use_rot_pos_emb: true,
            rope_type: if dino { RopeType::Dinov3 } else { RopeType::Cat },
            rope_temperature: if dino { 100.0 } else { 10000.0 },
            rope_rotate_half: dino,
            ref_feat_shape: (!dino).then_some(REFERENCE),
            use_fc_norm: dino.then_some(false),
            norm_eps: if dino { DINO_NORM_EPS } else { NORM_EPS },
            drop_path_rate: 0.0,
        })
    }
}

/// The heads of a named Eva of this width and depth.
fn named_heads(summary: &Summary) -> Option<i64> {
    let variants = EvaConfig::variants().into_iter();
    let mut same = variants.filter(|(_, config)| config.summarized() == *summary);
    same.next().map(|(_, config)| config.num_heads)
}
