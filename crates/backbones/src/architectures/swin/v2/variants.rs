//! The named Swins of version 2: timm's, and a small one.

use super::config::SwinV2Config;

const TINY: [usize; 4] = [2, 2, 6, 2];
const SMALL: [usize; 4] = [2, 2, 18, 2];
/// Windows of images of 192 that weights for larger ones began with.
const OF_192: [i64; 4] = [12, 12, 12, 6];

impl SwinV2Config {
    /// The smallest variant.
    pub fn micro() -> Self {
        swin(128, 4, 32, TINY, 1)
    }

    /// Name and configuration of every variant.
    pub(super) fn variants() -> Vec<(&'static str, SwinV2Config)> {
        vec![
            ("swinv2_micro_window4_128", Self::micro()),
            ("swinv2_tiny_window8_256", swin(256, 8, 96, TINY, 3)),
            ("swinv2_tiny_window16_256", swin(256, 16, 96, TINY, 3)),
            ("swinv2_small_window8_256", swin(256, 8, 96, SMALL, 3)),
            ("swinv2_small_window16_256", swin(256, 16, 96, SMALL, 3)),
            ("swinv2_base_window8_256", swin(256, 8, 128, SMALL, 4)),
            ("swinv2_base_window16_256", swin(256, 16, 128, SMALL, 4)),
            ("swinv2_base_window12_192", of_22k(swin(192, 12, 128, SMALL, 4))),
            ("swinv2_base_window12to16_192to256", tuned(swin(256, 16, 128, SMALL, 4))),
            ("swinv2_base_window12to24_192to384", tuned(swin(384, 24, 128, SMALL, 4))),
            ("swinv2_large_window12_192", of_22k(swin(192, 12, 192, SMALL, 6))),
            ("swinv2_large_window12to16_192to256", tuned(swin(256, 16, 192, SMALL, 6))),
            ("swinv2_large_window12to24_192to384", tuned(swin(384, 24, 192, SMALL, 6))),
        ]
    }
}

/// The number of heads doubles from stage to stage.
fn swin(
    img: i64,
    window_size: i64,
    embed_dim: i64,
    depths: [usize; 4],
    heads: i64,
) -> SwinV2Config {
    SwinV2Config {
        img_size: [img; 2],
        patch_size: 4,
        in_chans: 3,
        num_classes: 1000,
        embed_dim,
        depths: depths.to_vec(),
        num_heads: (0..4).map(|stage| heads << stage).collect(),
        window_size: window_size.into(),
        pretrained_window_sizes: Vec::new(),
        mlp_ratio: 4.0,
        qkv_bias: true,
        drop_path_rate: 0.1,
    }
}

fn of_22k(config: SwinV2Config) -> SwinV2Config {
    SwinV2Config { num_classes: 21841, ..config }
}

fn tuned(config: SwinV2Config) -> SwinV2Config {
    SwinV2Config { pretrained_window_sizes: OF_192.to_vec(), ..config }
}
