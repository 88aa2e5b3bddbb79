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
    /// What is said of the image.
    Caption(String),
    /// What is to change in the image, and an image of the same size where it has.
    Modified {
        /// What is to change.
        text: String,
        /// RGB, `[height, width, 3]`.
        image: Array3<u8>,
    },
}

impl Label {
    /// The text that belongs to the image.
    pub fn text(&self) -> Option<&str> {
        match self {
            Label::Caption(text) | Label::Modified { text, .. } => Some(text),
            _ => None,
        }
    }
}

impl Label {
    /// The label as numbers, `[channels, height, width]`, NaN where there is no label.
    ///
    /// Channels: 1 for class, binary and depth maps, 3 for normals, one per annotator for edges,
    /// 1 for a category (`[1, 1, 1]`), one per class for tags (`[classes, 1, 1]`). A caption is the
    /// number of its text, a modification that of its image, `[3, 1, 1]`: equal ones have equal
    /// numbers.
    pub fn to_array(&self) -> Array3<f32> {
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
            Label::Depth(map) => map.mapv(metres).insert_axis(ndarray::Axis(0)),
            Label::Category(class) => Array3::from_elem((1, 1, 1), *class as f32),
            Label::Tags(flags) => Array3::from_shape_fn((flags.len(), 1, 1), |(c, _, _)| {
                f32::from(u8::from(flags[c]))
            }),
            Label::Caption(text) => number_of(text.bytes()),
            Label::Modified { image, .. } => number_of(image.iter().copied()),
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
    /// [`Label::to_target`], row by row into the place that the batch has for it.
    pub(crate) fn write_target(&self, place: &mut [f32]) {
        match self {
            Label::Classes(map) | Label::Binary(map) => look_up(map, index, place),
            Label::Edges(maps) if maps.len() == 1 => look_up(&maps[0], boundary, place),
            Label::Depth(map) => map.iter().zip(place).for_each(|(v, to)| *to = metres(*v)),
            _ => self.to_target().iter().zip(place).for_each(|(v, to)| *to = *v),
        }
    }
}

/// 64 bits that tell texts or images apart (FNV-1a), in three whole numbers that float32 has exactly.
fn number_of(bytes: impl Iterator<Item = u8>) -> Array3<f32> {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325, step);
    let parts = [0, 22, 44].map(|shift| ((hash >> shift) & 0x3f_ffff) as f32);
    Array3::from_shape_fn((3, 1, 1), |(c, _, _)| parts[c])
}

fn index(value: u8) -> f32 {
    if value == IGNORE { f32::NAN } else { f32::from(value) }
}

/// What one annotator saw.
fn boundary(value: u8) -> f32 {
    if value == IGNORE { f32::NAN } else { f32::from(u8::from(value == 1)) }
}

fn metres(value: f32) -> f32 {
    if value > 0.0 { value } else { f32::NAN }
}

fn look_up(map: &Array2<u8>, meaning: impl Fn(u8) -> f32, place: &mut [f32]) {
    let table: [f32; 256] = std::array::from_fn(|value| meaning(value as u8));
    map.iter().zip(place).for_each(|(value, to)| *to = table[usize::from(*value)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_in_place_is_the_target() {
        let map = Array2::from_shape_fn((3, 4), |(y, x)| [0, 1, IGNORE][(y + 2 * x) % 3]);
        let depth = Array2::from_shape_fn((3, 4), |(y, x)| (x * y) as f32);
        let normals = Array3::from_shape_fn((3, 4, 3), |(y, x, c)| ((x + y) % 2 * c) as f32);
        let labels = [
            Label::Classes(map.clone()),
            Label::Binary(map.clone()),
            Label::Edges(vec![map.clone()]),
            Label::Edges(vec![map.clone(), map.t().to_shape((3, 4)).unwrap().to_owned(), map]),
            Label::Depth(depth),
            Label::Normals(normals),
            Label::Category(7),
            Label::Tags(vec![true, false]),
            Label::Caption("a red ball".into()),
            Label::Modified { text: "make it blue".into(), image: Array3::zeros((3, 4, 3)) },
        ];
        for label in labels {
            let target = label.to_target();
            let mut place = vec![-1.0; target.len()];
            label.write_target(&mut place);
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(place), bits(target.iter().copied().collect()), "{label:?}");
        }
    }
}
