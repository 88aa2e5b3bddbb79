//! Learned positions for another number of positions, and the first convolution for another number
//! of channels, as timm fits them when it loads.

mod input_channels;
mod pos_embed;
mod relative_position;

pub use input_channels::input_channels;
pub use pos_embed::{pos_embed, pos_embed_from};
pub use relative_position::relative_position_bias_table;

/// The side of a square of `area`.
pub(crate) fn square_side(area: i64) -> Option<i64> {
    let side = (area.max(0) as f64).sqrt().round() as i64;
    (side > 0 && side * side == area).then_some(side)
}
