//! The named Evas: timm's, and a small one.

use super::config::{DINO_NORM_EPS, EvaConfig, NORM_EPS, RopeType};
use crate::architectures::vit::GlobalPool;

/// Channels, blocks and heads that a size stands for.
type Size = (i64, usize, i64);

const TINY: Size = (192, 12, 3);
const SMALL: Size = (384, 12, 6);
const BASE: Size = (768, 12, 12);
const LARGE: Size = (1024, 24, 16);
const HUGE: Size = (1280, 32, 20);
const SEVEN_BILLION: Size = (4096, 40, 32);

impl EvaConfig {
    /// The smallest variant, as DINOv3 is built.
    pub fn micro() -> Self {
        Self { img_size: [128; 2], patch_size: 8, ..dinov3((160, 6, 5)) }
    }

    /// Name and configuration of every variant.
    pub(super) fn variants() -> Vec<(&'static str, EvaConfig)> {
        vec![
            ("vit_micro_patch8_dinov3_128", Self::micro()),
            ("vit_small_patch16_dinov3", dinov3(SMALL)),
            ("vit_small_plus_patch16_dinov3", plus(dinov3(SMALL))),
            ("vit_base_patch16_dinov3", dinov3(BASE)),
            ("vit_large_patch16_dinov3", dinov3(LARGE)),
            ("vit_huge_plus_patch16_dinov3", plus(dinov3(HUGE))),
            ("vit_7b_patch16_dinov3", seven_billion()),
            ("vit_tiny_patch16_dinov3_qkvb", qkvb(dinov3(TINY))),
            ("vit_small_patch16_dinov3_qkvb", qkvb(dinov3(SMALL))),
            ("vit_small_plus_patch16_dinov3_qkvb", qkvb(plus(dinov3(SMALL)))),
            ("vit_base_patch16_dinov3_qkvb", qkvb(dinov3(BASE))),
            ("vit_large_patch16_dinov3_qkvb", qkvb(dinov3(LARGE))),
            ("vit_huge_plus_patch16_dinov3_qkvb", qkvb(plus(dinov3(HUGE)))),
            ("eva02_tiny_patch14_224", untuned(eva02(TINY, 14, 224))),
            ("eva02_tiny_patch14_336", eva02(TINY, 14, 336)),
            ("eva02_small_patch14_224", untuned(eva02(SMALL, 14, 224))),
            ("eva02_small_patch14_336", eva02(SMALL, 14, 336)),
            ("eva02_base_patch14_224", untuned(scaled(eva02(BASE, 14, 224)))),
            ("eva02_base_patch14_448", scaled(eva02(BASE, 14, 448))),
            ("eva02_large_patch14_224", untuned(scaled(eva02(LARGE, 14, 224)))),
            ("eva02_large_patch14_448", scaled(eva02(LARGE, 14, 448))),
            ("eva02_base_patch16_clip_224", clip(eva02(BASE, 16, 224), 512)),
            ("eva02_large_patch14_clip_224", clip(eva02(LARGE, 14, 224), 768)),
            ("eva02_large_patch14_clip_336", clip(eva02(LARGE, 14, 336), 768)),
        ]
    }
}

fn dinov3((embed_dim, depth, num_heads): Size) -> EvaConfig {
    EvaConfig {
        img_size: [256; 2],
        patch_size: 16,
        in_chans: 3,
        num_classes: 0,
        global_pool: GlobalPool::Avg,
        embed_dim,
        depth,
        num_heads,
        qkv_bias: false,
        qkv_fused: true,
        mlp_ratio: 4.0,
        swiglu_mlp: false,
        swiglu_align_to: 0,
        scale_mlp: false,
        scale_attn_inner: false,
        init_values: Some(1e-5),
        class_token: true,
        num_reg_tokens: 4,
        use_abs_pos_emb: false,
        use_rot_pos_emb: true,
        rope_type: RopeType::Dinov3,
        rope_temperature: 100.0,
        rope_rotate_half: true,
        ref_feat_shape: None,
        use_fc_norm: Some(false),
        norm_eps: DINO_NORM_EPS,
        drop_path_rate: 0.0,
    }
}

/// With gated perceptrons.
fn plus(config: EvaConfig) -> EvaConfig {
    EvaConfig { swiglu_mlp: true, swiglu_align_to: 8, ..config }
}

/// The teacher of the others.
fn seven_billion() -> EvaConfig {
    EvaConfig { mlp_ratio: 2.0, swiglu_align_to: 64, ..plus(dinov3(SEVEN_BILLION)) }
}

/// With biases of query and value.
fn qkvb(config: EvaConfig) -> EvaConfig {
    EvaConfig { qkv_bias: true, ..config }
}

fn eva02(size: Size, patch_size: i64, img: i64) -> EvaConfig {
    EvaConfig {
        img_size: [img; 2],
        patch_size,
        num_classes: 1000,
        qkv_bias: true,
        mlp_ratio: 4.0 * 2.0 / 3.0,
        swiglu_mlp: true,
        init_values: None,
        num_reg_tokens: 0,
        use_abs_pos_emb: true,
        rope_type: RopeType::Cat,
        rope_temperature: 10000.0,
        rope_rotate_half: false,
        ref_feat_shape: Some([16; 2]),
        use_fc_norm: None,
        norm_eps: NORM_EPS,
        ..dinov3(size)
    }
}

/// With a norm in each perceptron and query, key and value apart.
fn scaled(config: EvaConfig) -> EvaConfig {
    EvaConfig { scale_mlp: true, qkv_fused: false, ..config }
}

/// As masked image modelling leaves it.
fn untuned(config: EvaConfig) -> EvaConfig {
    EvaConfig { num_classes: 0, ..config }
}

/// The image tower of EVA-CLIP, whose classifier projects to `num_classes` numbers.
fn clip(config: EvaConfig, num_classes: i64) -> EvaConfig {
    let global_pool = GlobalPool::Token;
    EvaConfig { scale_attn_inner: true, num_classes, global_pool, ..scaled(config) }
}
