//! The named ConvNeXts: timm's, and a small one.

use super::config::ConvNextConfig;

impl ConvNextConfig {
    /// The smallest variant.
    pub fn micro() -> Self {
        Self { img_size: [128; 2], ..convnext([1, 1, 3, 1], [24, 48, 96, 192]) }
    }

    /// Name and configuration of every variant. `convnext_tiny.dinov3_lvd1689m` of timm's and its
    /// like are `convnext_tiny` with other weights and no classifier.
    pub(super) fn variants() -> Vec<(&'static str, ConvNextConfig)> {
        vec![
            ("convnext_micro_128", Self::micro()),
            ("convnext_tiny", convnext([3, 3, 9, 3], [96, 192, 384, 768])),
            ("convnext_small", convnext([3, 3, 27, 3], [96, 192, 384, 768])),
            ("convnext_base", convnext([3, 3, 27, 3], [128, 256, 512, 1024])),
            ("convnext_large", convnext([3, 3, 27, 3], [192, 384, 768, 1536])),
            ("convnext_xlarge", convnext([3, 3, 27, 3], [256, 512, 1024, 2048])),
        ]
    }
}

fn convnext(depths: [usize; 4], dims: [i64; 4]) -> ConvNextConfig {
    ConvNextConfig {
        img_size: [224; 2],
        patch_size: 4,
        in_chans: 3,
        num_classes: 1000,
        depths: depths.to_vec(),
        dims: dims.to_vec(),
        ls_init_value: Some(1e-6),
        drop_path_rate: 0.1,
    }
}
