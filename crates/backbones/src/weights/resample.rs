//! Learned positions for another number of positions, and the first convolution for another number
//! of channels or another size of patches, as timm fits them when it loads.

mod input_channels;
mod patch_embed;
mod pos_embed;
mod relative_position;
mod square_side;

pub use input_channels::input_channels;
pub use patch_embed::patch_embed;
pub use pos_embed::{pos_embed, pos_embed_from};
pub use relative_position::relative_position_bias_table;
pub(crate) use relative_position::{fitted_table, relative_position_maps};
pub(crate) use square_side::square_side;
