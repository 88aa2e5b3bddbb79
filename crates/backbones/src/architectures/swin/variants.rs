//! The named Swins: timm's, and the small one whose weights come with Polyptych.

use super::config::SwinConfig;
use super::window_size::WindowSize;

impl SwinConfig {
    /// The smallest variant, whose weights ship with this crate.
    pub fn micro() -> Self {
        swin(128, 4, 32, [2, 2, 6, 2], 1)
    }

    /// Name and configuration of every variant.
    pub(crate) fn variants() -> Vec<(&'static str, SwinConfig)> {
        let (tiny, small, s3_base) = ([2, 2, 6, 2], [2, 2, 18, 2], [2, 2, 30, 2]);
        vec![
            ("swin_micro_patch4_window4_128", Self::micro()),
            ("swin_tiny_patch4_window7_224", swin(224, 7, 96, tiny, 3)),
            ("swin_small_patch4_window7_224", swin(224, 7, 96, small, 3)),
            ("swin_base_patch4_window7_224", swin(224, 7, 128, small, 4)),
            ("swin_base_patch4_window12_384", swin(384, 12, 128, small, 4)),
            ("swin_large_patch4_window7_224", swin(224, 7, 192, small, 6)),
            ("swin_large_patch4_window12_384", swin(384, 12, 192, small, 6)),
            ("swin_s3_tiny_224", s3(tiny, [7, 7, 14, 7])),
            ("swin_s3_small_224", s3(small, [14, 14, 14, 7])),
            ("swin_s3_base_224", s3(s3_base, [7, 7, 14, 7])),
        ]
    }
}

/// The number of heads doubles from stage to stage.
fn swin(img: i64, window_size: i64, embed_dim: i64, depths: [usize; 4], heads: i64) -> SwinConfig {
    SwinConfig {
        img_size: [img; 2],
        patch_size: 4,
        in_chans: 3,
        num_classes: 1000,
        embed_dim,
        depths: depths.to_vec(),
        num_heads: (0..4).map(|stage| heads << stage).collect(),
        window_size: window_size.into(),
        mlp_ratio: 4.0,
        qkv_bias: true,
        drop_path_rate: 0.1,
    }
}

/// Chen et al., "Searching the Search Space of Vision Transformer", arXiv 2111.14725: windows of
/// their own in every stage.
fn s3(depths: [usize; 4], windows: [i64; 4]) -> SwinConfig {
    let window_size = WindowSize::PerStage(windows.to_vec());
    SwinConfig { window_size, ..swin(224, 7, 96, depths, 3) }
}
