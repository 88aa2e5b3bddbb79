//! timm's own names, and whatever has them, such as DINOv2 as its authors publish it.

use super::registers::dinov2_registers;
use super::source::Source;

/// timm.
pub const TIMM: Source = Source {
    block: Some(
        r"(?:(?:layers|stages)\.\d+\.)?blocks\.\d+\.(?:attn|norm1|norm2|mlp|ls1|ls2|conv_dw)\.",
    ),
    ..Source::new("timm", &["layers.0.blocks.0.", "blocks.0."], dinov2_registers)
};
