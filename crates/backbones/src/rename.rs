//! Names of other sources' checkpoints in timm's words, one table per source.
//!
//! Each takes the tensors of a checkpoint and gives them back under timm's names. A name that is
//! not in the table stays as it is, so that loading reports it.

mod augreg_vit;
mod emtal;
mod huggingface_swin;
mod huggingface_vit;
mod microsoft_swin;
mod mtlora;
mod qkv;
mod registers;
mod torchvision_swin;
mod torchvision_vit;

pub use augreg_vit::augreg_vit;
pub use emtal::emtal;
pub use huggingface_swin::{huggingface_swin, huggingface_swin_name};
pub use huggingface_vit::{huggingface_vit, huggingface_vit_name};
pub use microsoft_swin::microsoft_swin;
pub use mtlora::mtlora;
pub use registers::dinov2_registers;
pub use torchvision_swin::torchvision_swin;
pub use torchvision_vit::torchvision_vit;

/// Replaces the first of `table`'s left sides that `name` starts with by its right side.
fn replace_prefix(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)))
}
