//! The named ViTs: timm's, and the small one whose weights come with Polyptych.

use super::config::{CLIP_NORM_EPS, GlobalPool, NORM_EPS, VitConfig};
use crate::blocks::act_layer::ActLayer;

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
const HUGE: Size = (1280, 32, 16);
const GIANT: Size = (1408, 40, 16);
const GIANT_DINO: Size = (1536, 40, 24);
const GIANT_OPT: Size = (1536, 40, 16);
const SO400M: Size = (1152, 27, 16);

impl VitConfig {
    /// The smallest variant, whose weights ship with this crate.
    pub fn micro() -> Self {
        let plain = vit((160, 6, 5), 8, 128);
        Self { class_token: false, global_pool: GlobalPool::Avg, ..plain }
    }

    /// Name and configuration of every variant.
    pub(crate) fn variants() -> Vec<(&'static str, VitConfig)> {
        [Self::augreg(), Self::self_supervised(), Self::deit(), Self::image_text()].concat()
    }

    fn augreg() -> Vec<(&'static str, VitConfig)> {
        vec![
            ("vit_micro_patch8_128", Self::micro()),
            ("vit_tiny_patch16_224", vit(TINY, 16, 224)),
            ("vit_tiny_patch16_384", vit(TINY, 16, 384)),
            ("vit_small_patch8_224", vit(SMALL, 8, 224)),
            ("vit_small_patch16_224", vit(SMALL, 16, 224)),
            ("vit_small_patch16_384", vit(SMALL, 16, 384)),
            ("vit_small_patch32_224", vit(SMALL, 32, 224)),
            ("vit_small_patch32_384", vit(SMALL, 32, 384)),
            ("vit_base_patch8_224", vit(BASE, 8, 224)),
            ("vit_base_patch16_224", vit(BASE, 16, 224)),
            ("vit_base_patch16_384", vit(BASE, 16, 384)),
            ("vit_base_patch32_224", vit(BASE, 32, 224)),
            ("vit_base_patch32_384", vit(BASE, 32, 384)),
            ("vit_large_patch14_224", vit(LARGE, 14, 224)),
            ("vit_large_patch16_224", vit(LARGE, 16, 224)),
            ("vit_large_patch16_384", vit(LARGE, 16, 384)),
            ("vit_large_patch32_224", vit(LARGE, 32, 224)),
            ("vit_large_patch32_384", vit(LARGE, 32, 384)),
            ("vit_little_patch16_reg4_gap_256", reg4_gap(LITTLE, 5.6, Some(1e-5))),
            ("vit_medium_patch16_reg4_gap_256", reg4_gap(MEDIUM, 4.0, Some(1e-5))),
            ("vit_mediumd_patch16_reg4_gap_256", reg4_gap(MEDIUM_DEEP, 4.0, Some(1e-5))),
            ("vit_betwixt_patch16_reg4_gap_256", reg4_gap(BETWIXT, 4.0, Some(1e-5))),
            ("vit_base_patch16_reg4_gap_256", reg4_gap(BASE, 4.0, None)),
        ]
    }

    fn self_supervised() -> Vec<(&'static str, VitConfig)> {
        vec![
            ("vit_small_patch14_dinov2", dinov2(SMALL)),
            ("vit_base_patch14_dinov2", dinov2(BASE)),
            ("vit_large_patch14_dinov2", dinov2(LARGE)),
            ("vit_giant_patch14_dinov2", swiglu(dinov2(GIANT_DINO))),
            ("vit_small_patch14_reg4_dinov2", dinov2_reg4(SMALL)),
            ("vit_base_patch14_reg4_dinov2", dinov2_reg4(BASE)),
            ("vit_large_patch14_reg4_dinov2", dinov2_reg4(LARGE)),
            ("vit_giant_patch14_reg4_dinov2", swiglu(dinov2_reg4(GIANT_DINO))),
            ("vit_base_patch16_gap_224", gap((768, 12, 16), 16, 224)),
            ("vit_huge_patch14_224", mae(HUGE, 14, 224)),
            ("vit_huge_patch14_gap_224", ijepa(HUGE, 14, 224)),
            ("vit_huge_patch16_gap_448", ijepa(HUGE, 16, 448)),
            ("vit_giant_patch16_gap_224", giant_ijepa()),
        ]
    }

    fn deit() -> Vec<(&'static str, VitConfig)> {
        vec![
            ("deit_tiny_patch16_224", vit(TINY, 16, 224)),
            ("deit_small_patch16_224", vit(SMALL, 16, 224)),
            ("deit_base_patch16_224", vit(BASE, 16, 224)),
            ("deit_base_patch16_384", vit(BASE, 16, 384)),
            ("deit_tiny_distilled_patch16_224", distilled(TINY, 224)),
            ("deit_small_distilled_patch16_224", distilled(SMALL, 224)),
            ("deit_base_distilled_patch16_224", distilled(BASE, 224)),
            ("deit_base_distilled_patch16_384", distilled(BASE, 384)),
            ("deit3_small_patch16_224", deit3(SMALL, 224)),
            ("deit3_small_patch16_384", deit3(SMALL, 384)),
            ("deit3_medium_patch16_224", deit3(MEDIUM, 224)),
            ("deit3_base_patch16_224", deit3(BASE, 224)),
            ("deit3_base_patch16_384", deit3(BASE, 384)),
            ("deit3_large_patch16_224", deit3(LARGE, 224)),
            ("deit3_large_patch16_384", deit3(LARGE, 384)),
            ("deit3_huge_patch14_224", VitConfig { patch_size: 14, ..deit3(HUGE, 224) }),
            ("flexivit_small", flexivit(SMALL)),
            ("flexivit_base", flexivit(BASE)),
            ("flexivit_large", flexivit(LARGE)),
        ]
    }

    /// Image towers of pairs of images and texts.
    fn image_text() -> Vec<(&'static str, VitConfig)> {
        let tanh = |config: VitConfig| VitConfig { act_layer: ActLayer::GeluTanh, ..config };
        vec![
            ("vit_base_patch16_clip_224", clip(BASE, 16, 224)),
            ("vit_base_patch16_clip_384", clip(BASE, 16, 384)),
            ("vit_base_patch32_clip_224", clip(BASE, 32, 224)),
            ("vit_large_patch14_clip_224", clip(LARGE, 14, 224)),
            ("vit_large_patch14_clip_336", clip(LARGE, 14, 336)),
            ("vit_huge_patch14_clip_224", clip(HUGE, 14, 224)),
            ("vit_huge_patch14_clip_336", clip(HUGE, 14, 336)),
            ("vit_huge_patch14_clip_378", VitConfig { num_classes: 1024, ..clip(HUGE, 14, 378) }),
            ("vit_base_patch16_clip_quickgelu_224", quickgelu(BASE, 16, 224, 512)),
            ("vit_base_patch32_clip_quickgelu_224", quickgelu(BASE, 32, 224, 512)),
            ("vit_large_patch14_clip_quickgelu_224", quickgelu(LARGE, 14, 224, 768)),
            ("vit_large_patch14_clip_quickgelu_336", quickgelu(LARGE, 14, 336, 768)),
            ("vit_base_patch16_siglip_224", siglip(BASE, 16, 224)),
            ("vit_base_patch16_siglip_256", siglip(BASE, 16, 256)),
            ("vit_base_patch16_siglip_384", siglip(BASE, 16, 384)),
            ("vit_base_patch16_siglip_512", siglip(BASE, 16, 512)),
            ("vit_base_patch32_siglip_256", tanh(siglip(BASE, 32, 256))),
            ("vit_large_patch16_siglip_256", siglip(LARGE, 16, 256)),
            ("vit_large_patch16_siglip_384", siglip(LARGE, 16, 384)),
            ("vit_large_patch16_siglip_512", tanh(siglip(LARGE, 16, 512))),
            ("vit_so400m_patch14_siglip_224", so400m(14, 224)),
            ("vit_so400m_patch14_siglip_378", so400m(14, 378)),
            ("vit_so400m_patch14_siglip_384", so400m(14, 384)),
            ("vit_so400m_patch16_siglip_256", tanh(so400m(16, 256))),
            ("vit_so400m_patch16_siglip_384", tanh(so400m(16, 384))),
            ("vit_so400m_patch16_siglip_512", tanh(so400m(16, 512))),
            ("vit_giantopt_patch16_siglip_256", tanh(siglip(GIANT_OPT, 16, 256))),
            ("vit_giantopt_patch16_siglip_384", tanh(siglip(GIANT_OPT, 16, 384))),
            ("vit_base_patch16_siglip_gap_224", siglip_gap(BASE, 16, 224)),
            ("vit_base_patch16_siglip_gap_256", siglip_gap(BASE, 16, 256)),
            ("vit_base_patch16_siglip_gap_384", siglip_gap(BASE, 16, 384)),
            ("vit_base_patch16_siglip_gap_512", siglip_gap(BASE, 16, 512)),
            ("vit_large_patch16_siglip_gap_256", siglip_gap(LARGE, 16, 256)),
            ("vit_large_patch16_siglip_gap_384", siglip_gap(LARGE, 16, 384)),
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
        swiglu_mlp: false,
        qkv_bias: true,
        init_values: None,
        class_token: true,
        reg_tokens: 0,
        no_embed_class: false,
        pre_norm: false,
        distilled: false,
        global_pool: GlobalPool::Token,
        fc_norm: None,
        norm_eps: NORM_EPS,
        act_layer: ActLayer::Gelu,
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

/// With gated perceptrons, 4096 wide beside as many gates in its giant.
fn swiglu(config: VitConfig) -> VitConfig {
    VitConfig { mlp_ratio: 2.66667 * 2.0, swiglu_mlp: true, ..config }
}

/// He et al., "Masked Autoencoders Are Scalable Vision Learners", arXiv 2111.06377: the encoder.
fn mae(size: Size, patch_size: i64, img: i64) -> VitConfig {
    VitConfig { num_classes: 0, ..vit(size, patch_size, img) }
}

/// No class token, the mean behind the final norm.
fn gap(size: Size, patch_size: i64, img: i64) -> VitConfig {
    VitConfig {
        class_token: false,
        global_pool: GlobalPool::Avg,
        fc_norm: Some(false),
        ..vit(size, patch_size, img)
    }
}

/// Assran et al., "Self-Supervised Learning from Images with a Joint-Embedding Predictive
/// Architecture" (I-JEPA), arXiv 2301.08243.
fn ijepa(size: Size, patch_size: i64, img: i64) -> VitConfig {
    VitConfig { num_classes: 0, ..gap(size, patch_size, img) }
}

/// Its giant, whose perceptron is 6144 wide.
fn giant_ijepa() -> VitConfig {
    VitConfig { mlp_ratio: 48.0 / 11.0, ..ijepa(GIANT, 16, 224) }
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

/// Touvron et al., "Training data-efficient image transformers & distillation through attention",
/// arXiv 2012.12877.
fn distilled(size: Size, img: i64) -> VitConfig {
    VitConfig { distilled: true, ..vit(size, 16, img) }
}

/// Touvron et al., "DeiT III: Revenge of the ViT", arXiv 2204.07118.
fn deit3(size: Size, img: i64) -> VitConfig {
    VitConfig { init_values: Some(1e-6), no_embed_class: true, ..vit(size, 16, img) }
}

/// Beyer et al., "FlexiViT: One Model for All Patch Sizes", arXiv 2212.08013.
fn flexivit(size: Size) -> VitConfig {
    VitConfig { no_embed_class: true, ..vit(size, 16, 240) }
}

/// Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
/// arXiv 2103.00020, as OpenCLIP trains it.
fn clip(size: Size, patch_size: i64, img: i64) -> VitConfig {
    VitConfig { pre_norm: true, norm_eps: CLIP_NORM_EPS, ..vit(size, patch_size, img) }
}

/// CLIP of OpenAI's, whose classifier projects to `num_classes` numbers that texts share.
fn quickgelu(size: Size, patch_size: i64, img: i64, num_classes: i64) -> VitConfig {
    VitConfig { act_layer: ActLayer::QuickGelu, num_classes, ..clip(size, patch_size, img) }
}

/// Zhai et al., "Sigmoid Loss for Language Image Pre-Training", arXiv 2303.15343.
fn siglip(size: Size, patch_size: i64, img: i64) -> VitConfig {
    let plain = vit(size, patch_size, img);
    VitConfig { class_token: false, global_pool: GlobalPool::Map, num_classes: 0, ..plain }
}

/// Its shape-optimized size, whose perceptron is 4304 wide.
fn so400m(patch_size: i64, img: i64) -> VitConfig {
    VitConfig { mlp_ratio: 3.7362, ..siglip(SO400M, patch_size, img) }
}

/// SigLIP whose pooling is replaced by the mean behind the final norm.
fn siglip_gap(size: Size, patch_size: i64, img: i64) -> VitConfig {
    VitConfig {
        global_pool: GlobalPool::Avg,
        fc_norm: Some(false),
        ..siglip(size, patch_size, img)
    }
}
