//! The named BEiTs: timm's, and a small one.

use super::config::BeitConfig;
use crate::architectures::vit::GlobalPool;

/// Channels, blocks and heads that a size stands for.
type Size = (i64, usize, i64);

const BASE: Size = (768, 12, 12);
const LARGE: Size = (1024, 24, 16);

impl BeitConfig {
    /// The smallest variant.
    pub fn micro() -> Self {
        Self { patch_size: 8, ..beit((160, 6, 5), 128) }
    }

    /// Name and configuration of every variant.
    pub(super) fn variants() -> Vec<(&'static str, BeitConfig)> {
        vec![
            ("beit_micro_patch8_128", Self::micro()),
            ("beit_base_patch16_224", BeitConfig { init_values: Some(0.1), ..beit(BASE, 224) }),
            ("beit_base_patch16_384", BeitConfig { init_values: Some(0.1), ..beit(BASE, 384) }),
            ("beit_large_patch16_224", beit(LARGE, 224)),
            ("beit_large_patch16_384", beit(LARGE, 384)),
            ("beit_large_patch16_512", beit(LARGE, 512)),
            ("beitv2_base_patch16_224", beit(BASE, 224)),
            ("beitv2_large_patch16_224", beit(LARGE, 224)),
        ]
    }
}

fn beit((embed_dim, depth, num_heads): Size, img: i64) -> BeitConfig {
    BeitConfig {
        img_size: [img; 2],
        patch_size: 16,
        in_chans: 3,
        num_classes: 1000,
        global_pool: GlobalPool::Avg,
        embed_dim,
        depth,
        num_heads,
        qkv_bias: true,
        mlp_ratio: 4.0,
        init_values: Some(1e-5),
        use_abs_pos_emb: false,
        use_rel_pos_bias: true,
        use_shared_rel_pos_bias: false,
        use_fc_norm: None,
        drop_path_rate: 0.0,
    }
}
