//! COCO's JSON: instances, stuff, keypoints and panoptic segmentation.
//!
//! Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; Caesar et al., "COCO-Stuff",
//! CVPR 2018; Kirillov et al., "Panoptic Segmentation", CVPR 2019. Masks are rasterised as
//! pycocotools does, pixel by pixel.

mod annotations;
mod corners;
mod index;
mod lenient;
mod polygon;
mod rle;
mod segmentation;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use self::annotations::{Annotation, Category, CocoFile};
pub(crate) use self::index::CocoIndex;
pub(crate) use self::shared::image_names;
