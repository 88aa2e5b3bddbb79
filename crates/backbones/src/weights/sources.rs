//! Who wrote a checkpoint, by the names of its tensors, and what timm calls them.
//!
//! A source is one file: its marks, and a table of its names in timm's words. A name that is not in
//! the table stays as it is, so that loading reports it.

mod augreg_vit;
mod dinov3;
mod emtal;
mod huggingface_swin;
mod huggingface_vit;
mod microsoft_swin;
mod mtlora;
mod prefix_table;
mod qkv;
mod registers;
mod source;
mod timm;
mod torchvision_swin;
mod torchvision_vit;

use polyptych_tensor::Tensors;

pub use augreg_vit::AUGREG;
pub use dinov3::{HUGGING_FACE_DINOV3, META_DINOV3};
pub use emtal::EMTAL;
pub use huggingface_swin::HUGGING_FACE_SWIN;
pub use huggingface_vit::HUGGING_FACE_VIT;
pub use microsoft_swin::MICROSOFT_SWIN;
pub use mtlora::MTLORA;
pub use source::Source;
pub use timm::TIMM;
pub use torchvision_swin::TORCHVISION_SWIN;
pub use torchvision_vit::TORCHVISION_VIT;

/// All sources, those with the most telling marks first.
const SOURCES: [&Source; 11] = [
    &AUGREG,
    &MTLORA,
    &EMTAL,
    &TORCHVISION_SWIN,
    &TORCHVISION_VIT,
    &META_DINOV3,
    &HUGGING_FACE_DINOV3,
    &HUGGING_FACE_SWIN,
    &HUGGING_FACE_VIT,
    &MICROSOFT_SWIN,
    &TIMM,
];

/// Marks of versions of an architecture that we lack.
const UNSUPPORTED: [&str; 2] = ["continuous_position_bias_mlp", "mlp.weights_in."];

impl Source {
    /// All sources.
    pub fn all() -> &'static [&'static Self] {
        &SOURCES
    }

    /// Who wrote `tensors`; nothing for names that are of no backbone of ours.
    pub fn of(tensors: &Tensors) -> Option<&'static Self> {
        let has = |mark: &&str| tensors.keys().any(|name| name.contains(mark));
        if UNSUPPORTED.iter().any(has) {
            return None;
        }
        SOURCES.into_iter().find(|source| source.marks.iter().any(has))
    }
}
