//! The named Hieras: timm's, and a small one.

use super::config::HieraConfig;
use super::parameters::GLOBAL_POS_SIZE;

impl HieraConfig {
    /// The smallest variant.
    pub fn micro() -> Self {
        Self { img_size: [128; 2], ..hiera(32, 1, [1, 2, 3, 2]) }
    }

    /// Name and configuration of every variant.
    pub(super) fn variants() -> Vec<(&'static str, HieraConfig)> {
        let small = abs_win(hiera(96, 1, [1, 2, 11, 2]));
        let small = HieraConfig { use_expand_proj: false, global_pos_size: [16; 2], ..small };
        vec![
            ("hiera_micro_128", Self::micro()),
            ("hiera_tiny_224", hiera(96, 1, [1, 2, 7, 2])),
            ("hiera_small_224", hiera(96, 1, [1, 2, 11, 2])),
            ("hiera_base_224", hiera(96, 1, [2, 3, 16, 3])),
            ("hiera_base_plus_224", hiera(112, 2, [2, 3, 16, 3])),
            ("hiera_large_224", hiera(144, 2, [2, 6, 36, 4])),
            ("hiera_huge_224", hiera(256, 4, [2, 6, 36, 4])),
            ("hiera_small_abswin_256", small),
            ("hiera_base_abswin_256", abs_win(hiera(96, 1, [2, 3, 16, 3]))),
        ]
    }
}

fn hiera(embed_dim: i64, num_heads: i64, stages: [usize; 4]) -> HieraConfig {
    HieraConfig {
        img_size: [224; 2],
        in_chans: 3,
        num_classes: 1000,
        embed_dim,
        num_heads,
        stages: stages.to_vec(),
        mask_unit_size: 8,
        mask_unit_attn: vec![true, true, false, false],
        use_expand_proj: true,
        mlp_ratio: 4.0,
        init_values: None,
        abs_win_pos_embed: false,
        global_pos_size: GLOBAL_POS_SIZE,
        drop_path_rate: 0.0,
    }
}

fn abs_win(config: HieraConfig) -> HieraConfig {
    HieraConfig { img_size: [256; 2], abs_win_pos_embed: true, init_values: Some(1e-5), ..config }
}
