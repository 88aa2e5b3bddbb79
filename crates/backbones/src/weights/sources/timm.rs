//! timm's own names, and whatever has them, such as DINOv2, MAE, I-JEPA and BEiT as their authors
//! publish them; decoders of pre-training are left out.

use super::registers::dinov2;
use super::source::Source;

/// timm.
pub const TIMM: Source = Source {
    block: Some(
        r"(?:(?:layers|stages)\.\d+\.)?blocks\.\d+\.(?:attn|norm1|norm2|mlp|ls1|ls2|conv_dw)\.",
    ),
    left_out: &["mask_token", "decoder_", "lm_head.", "predictor."],
    ..Source::new("timm", &["layers.0.blocks.0.", "blocks.0."], dinov2)
};
