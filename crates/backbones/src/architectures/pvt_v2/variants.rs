//! The named PVTs: timm's, and a small one.

use super::config::PvtV2Config;

const DIMS: [i64; 4] = [64, 128, 320, 512];
const HEADS: [i64; 4] = [1, 2, 5, 8];

impl PvtV2Config {
    /// The smallest variant.
    pub fn micro() -> Self {
        Self { img_size: [128; 2], ..pvt([1, 1, 2, 1], [16, 32, 80, 128]) }
    }

    /// Name and configuration of every variant.
    pub(super) fn variants() -> Vec<(&'static str, PvtV2Config)> {
        let b2 = pvt([3, 4, 6, 3], DIMS);
        vec![
            ("pvt_v2_micro_128", Self::micro()),
            ("pvt_v2_b0", pvt([2, 2, 2, 2], [32, 64, 160, 256])),
            ("pvt_v2_b1", pvt([2, 2, 2, 2], DIMS)),
            ("pvt_v2_b2", b2.clone()),
            ("pvt_v2_b2_li", Self { linear: true, ..b2 }),
            ("pvt_v2_b3", pvt([3, 4, 18, 3], DIMS)),
            ("pvt_v2_b4", pvt([3, 8, 27, 3], DIMS)),
            ("pvt_v2_b5", Self { mlp_ratios: vec![4.0; 4], ..pvt([3, 6, 40, 3], DIMS) }),
        ]
    }
}

fn pvt(depths: [usize; 4], embed_dims: [i64; 4]) -> PvtV2Config {
    PvtV2Config {
        img_size: [224; 2],
        in_chans: 3,
        num_classes: 1000,
        depths: depths.to_vec(),
        embed_dims: embed_dims.to_vec(),
        num_heads: HEADS.to_vec(),
        sr_ratios: vec![8, 4, 2, 1],
        mlp_ratios: vec![8.0, 8.0, 4.0, 4.0],
        qkv_bias: true,
        linear: false,
        drop_path_rate: 0.1,
    }
}
