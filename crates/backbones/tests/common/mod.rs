//! Backbones that are built in milliseconds.
// Every test program compiles this module and none needs all of it.
#![allow(dead_code)]

use polyptych_backbones::{GlobalPool, SwinConfig, VitConfig};

/// Two blocks with a class token.
pub(crate) fn vit() -> VitConfig {
    VitConfig {
        img_size: [16, 16],
        patch_size: 4,
        num_classes: 5,
        embed_dim: 24,
        depth: 2,
        num_heads: 3,
        mlp_ratio: 2.0,
        class_token: true,
        global_pool: GlobalPool::Token,
        ..VitConfig::micro()
    }
}

/// Two stages of two blocks.
pub(crate) fn swin() -> SwinConfig {
    SwinConfig {
        img_size: [32, 32],
        num_classes: 5,
        embed_dim: 12,
        depths: vec![2, 2],
        num_heads: vec![2, 4],
        mlp_ratio: 2.0,
        drop_path_rate: 0.0,
        ..SwinConfig::micro()
    }
}
