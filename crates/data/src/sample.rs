//! One photograph and its labels.

use std::collections::BTreeMap;

use ndarray::{Array2, Array3};

/// Class index that means "no label here" in index maps.
pub const IGNORE: u8 = 255;

/// One image with whatever labels it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Name that errors, predictions and reports use: usually the file stem.
    pub name: String,
    /// RGB image, `[height, width, 3]`.
    pub image: Array3<u8>,
    /// Labels by task name; a task without a label here is absent.
    pub labels: BTreeMap<String, Label>,
}

/// The label of one task; maps have the size of the image.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// Semantic segmentation or human parts: class index, 255 where there is no label.
    Classes(Array2<u8>),
    /// Saliency: 1 salient, 0 not, 255 no label.
    Binary(Array2<u8>),
    /// Edges: one map per annotator, 1 on a boundary, 0 elsewhere, 255 no label.
    Edges(Vec<Array2<u8>>),
    /// Normals, `[height, width, 3]`, unit length; the zero vector where there is no label.
    Normals(Array3<f32>),
    /// Depth in metres, 0 where there is no label.
    Depth(Array2<f32>),
    /// Class of the whole image.
    Category(u32),
    /// Classes present in the image, one flag per class.
    Tags(Vec<bool>),
}

impl Label {
    /// The label as numbers, `[channels, height, width]`, NaN where there is no label.
    ///
    /// Channels: 1 for class, binary and depth maps, 3 for normals, one per annotator for edges,
    /// 1 for a category (`[1, 1, 1]`), one per class for tags (`[classes, 1, 1]`).
    pub fn to_array(&self) -> Array3<f32> {
        let index = |v: u8| if v == IGNORE { f32::NAN } else { f32::from(v) };
        match self {
            Label::Classes(map) | Label::Binary(map) => {
                map.mapv(index).insert_axis(ndarray::Axis(0))
            }
            Label::Edges(maps) => {
                let (height, width) = maps.first().map_or((0, 0), |map| map.dim());
                Array3::from_shape_fn((maps.len(), height, width), |(a, y, x)| {
                    index(maps[a][[y, x]])
                })
            }
            Label::Normals(map) => {
                let (height, width, _) = map.dim();
                Array3::from_shape_fn((3, height, width), |(c, y, x)| {
                    let known = (0..3).any(|k| map[[y, x, k]] != 0.0);
                    if known { map[[y, x, c]] } else { f32::NAN }
                })
            }
            Label::Depth(map) => {
                map.mapv(|v| if v > 0.0 { v } else { f32::NAN }).insert_axis(ndarray::Axis(0))
            }
            Label::Category(class) => Array3::from_elem((1, 1, 1), *class as f32),
            Label::Tags(flags) => Array3::from_shape_fn((flags.len(), 1, 1), |(c, _, _)| {
                f32::from(u8::from(flags[c]))
            }),
        }
    }

    /// What training learns from, same layout as [`Label::to_array`] but one channel for edges:
    /// 1 where more than half of the annotators saw a boundary, 0 where none did, NaN in between.
    pub fn to_target(&self) -> Array3<f32> {
        let Label::Edges(maps) = self else { return self.to_array() };
        let (height, width) = maps.first().map_or((0, 0), |map| map.dim());
        Array3::from_shape_fn((1, height, width), |(_, y, x)| {
            let votes = maps.iter().map(|map| map[[y, x]]).filter(|&v| v != IGNORE);
            let (yes, all) =
                votes.fold((0, 0), |(yes, all), v| (yes + usize::from(v == 1), all + 1));
            match (yes, all) {
                (_, 0) => f32::NAN,
                (0, _) => 0.0,
                (yes, all) if 2 * yes > all => 1.0,
                _ => f32::NAN,
            }
        })
    }
}
