//! Who wrote a checkpoint, by the names of its tensors, and what timm calls them.
//!
//! A source is one file: its marks, and a table of its names in timm's words. A name that is not in
//! the table stays as it is, so that loading reports it.

mod augreg_vit;
mod convnext;
mod dinov3;
mod emtal;
mod hiera;
mod huggingface_beit;
mod huggingface_clip;
mod huggingface_pvt_v2;
mod huggingface_swin;
mod huggingface_swinv2;
mod huggingface_vit;
mod microsoft_swin;
mod mtlora;
mod open_clip;
mod prefix_table;
mod pvt_v2;
mod qkv;
mod registers;
mod source;
mod timm;
mod torchvision_swin;
mod torchvision_vit;

use polyptych_tensor::Tensors;

pub use augreg_vit::AUGREG;
pub use convnext::{CONVNEXT, HUGGING_FACE_CONVNEXT};
pub use dinov3::{HUGGING_FACE_DINOV3, META_DINOV3};
pub use emtal::EMTAL;
pub use hiera::{HIERA, HUGGING_FACE_HIERA};
pub use huggingface_beit::HUGGING_FACE_BEIT;
pub use huggingface_clip::HUGGING_FACE_CLIP;
pub use huggingface_pvt_v2::HUGGING_FACE_PVT_V2;
pub use huggingface_swin::HUGGING_FACE_SWIN;
pub use huggingface_swinv2::HUGGING_FACE_SWINV2;
pub use huggingface_vit::HUGGING_FACE_VIT;
pub use microsoft_swin::MICROSOFT_SWIN;
pub use mtlora::MTLORA;
pub use open_clip::OPEN_CLIP;
pub(crate) use prefix_table::replace_prefix;
pub use pvt_v2::PVT_V2;
pub(crate) use qkv::join_qkv;
pub use source::Source;
pub use timm::TIMM;
pub use torchvision_swin::TORCHVISION_SWIN;
pub use torchvision_vit::TORCHVISION_VIT;

/// All sources, those with the most telling marks first.
const SOURCES: [&Source; 21] = [
    &AUGREG,
    &MTLORA,
    &EMTAL,
    &TORCHVISION_SWIN,
    &TORCHVISION_VIT,
    &OPEN_CLIP,
    &META_DINOV3,
    &HUGGING_FACE_DINOV3,
    &HUGGING_FACE_CLIP,
    &HUGGING_FACE_SWINV2,
    &HUGGING_FACE_PVT_V2,
    &HUGGING_FACE_HIERA,
    &HUGGING_FACE_CONVNEXT,
    &HUGGING_FACE_SWIN,
    &HUGGING_FACE_BEIT,
    &HUGGING_FACE_VIT,
    &CONVNEXT,
    &PVT_V2,
    &MICROSOFT_SWIN,
    &HIERA,
    &TIMM,
];

impl Source {
    /// All sources.
    pub fn all() -> &'static [&'static Self] {
        &SOURCES
    }

    /// Who wrote `tensors`; nothing for names that are of no backbone of ours.
    pub fn of(tensors: &Tensors) -> Option<&'static Self> {
        let has = |mark: &&str| tensors.keys().any(|name| name.contains(mark));
        SOURCES.into_iter().find(|source| source.marks.iter().any(has))
    }
}
