//! The named ViTs: timm's, and the small one whose weights come with Polyptych.

use super::config::{GlobalPool, VitConfig};

/// Channels, blocks and heads that a size stands for.
type Size = (i64, usize, i64);

const TINY: Size = (192, 12, 3);
const LITTLE: Size = (320, 14, 5);
const SMALL: Size = (384, 12, 6);
const MEDIUM: Size = (512, 12, 8);
const MEDIUM_DEEP: Size = (512, 20, 8);
const BETWIXT: Size = (640, 12, 10);
const BASE: Size = (768, 12, 12);
const LARGE: Size = (1024, 24, 16);

impl VitConfig {
    /// The smallest variant, whose weights ship with this crate.
    pub fn micro() -> Self {
        let plain = vit((160, 6, 5), 8, 128);
        Self { class_token: false, global_pool: GlobalPool::Avg, ..plain }
    }

    /// Name and configuration of every variant.
    pub(crate) fn variants() -> Vec<(&'static str, VitConfig)> {
        vec![
            ("vit_micro_patch8_128", Self::micro()),
            ("vit_tiny_patch16_224", vit(TINY, 16, 224)),
            ("vit_tiny_patch16_384", vit(TINY, 16, 384)),
            ("vit_small_patch8_224", vit(SMALL, 8, 224)),
            ("vit_small_patch16_224", vit(SMALL, 16, 224)),
            ("vit_small_patch16_384", vit(SMALL, 16, 384)),
            ("vit_small_patch32_224", vit(SMALL, 32, 224)),
            ("vit_small_patch32_384", vit(SMALL, 32, 384)),
            ("vit_small_patch14_dinov2", dinov2(SMALL)),
            ("vit_base_patch8_224", vit(BASE, 8, 224)),
            ("vit_base_patch16_224", vit(BASE, 16, 224)),
            ("vit_base_patch16_384", vit(BASE, 16, 384)),
            ("vit_base_patch32_224", vit(BASE, 32, 224)),
            ("vit_base_patch32_384", vit(BASE, 32, 384)),
            ("vit_base_patch14_dinov2", dinov2(BASE)),
            ("vit_large_patch14_224", vit(LARGE, 14, 224)),
            ("vit_large_patch16_224", vit(LARGE, 16, 224)),
            ("vit_large_patch16_384", vit(LARGE, 16, 384)),
            ("vit_large_patch32_224", vit(LARGE, 32, 224)),
            ("vit_large_patch32_384", vit(LARGE, 32, 384)),
            ("vit_large_patch14_dinov2", dinov2(LARGE)),
            ("vit_small_patch14_reg4_dinov2", dinov2_reg4(SMALL)),
            ("vit_base_patch14_reg4_dinov2", dinov2_reg4(BASE)),
            ("vit_large_patch14_reg4_dinov2", dinov2_reg4(LARGE)),
            ("vit_little_patch16_reg4_gap_256", reg4_gap(LITTLE, 5.6, Some(1e-5))),
            ("vit_medium_patch16_reg4_gap_256", reg4_gap(MEDIUM, 4.0, Some(1e-5))),
            ("vit_mediumd_patch16_reg4_gap_256", reg4_gap(MEDIUM_DEEP, 4.0, Some(1e-5))),
            ("vit_betwixt_patch16_reg4_gap_256", reg4_gap(BETWIXT, 4.0, Some(1e-5))),
            ("vit_base_patch16_reg4_gap_256", reg4_gap(BASE, 4.0, None)),
        ]
    }
}

fn vit((embed_dim, depth, num_heads): Size, patch_size: i64, img: i64) -> VitConfig {
    VitConfig {
        img_size: [img; 2],
        patch_size,
        in_chans: 3,
        num_classes: 1000,
        embed_dim,
        depth,
        num_heads,
        mlp_ratio: 4.0,
        qkv_bias: true,
        init_values: None,
        class_token: true,
        reg_tokens: 0,
        no_embed_class: false,
        global_pool: GlobalPool::Token,
        drop_path_rate: 0.0,
    }
}

/// Oquab et al., "DINOv2", arXiv 2304.07193: LayerScale, patches of 14, no classifier.
fn dinov2(size: Size) -> VitConfig {
    VitConfig { num_classes: 0, init_values: Some(1e-5), ..vit(size, 14, 518) }
}

/// Darcet et al., "Vision Transformers Need Registers", arXiv 2309.16588.
fn dinov2_reg4(size: Size) -> VitConfig {
    VitConfig { reg_tokens: 4, no_embed_class: true, ..dinov2(size) }
}

/// timm's ViTs with registers and no class token.
fn reg4_gap(size: Size, mlp_ratio: f64, init_values: Option<f64>) -> VitConfig {
    VitConfig {
        mlp_ratio,
        init_values,
        class_token: false,
        reg_tokens: 4,
        no_embed_class: true,
        global_pool: GlobalPool::Avg,
        ..vit(size, 16, 256)
    }
}
