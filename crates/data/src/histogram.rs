//! How often each value occurs in labels.

use std::collections::BTreeMap;

use ndarray::Array2;

use crate::Label;
use crate::sample::IGNORE;

/// Counts by value.
///
/// Maps count pixels: of classes the class, of saliency and boundaries 0 and 1, of depth and
/// normals 1 where there is a label; 255 everywhere where there is none. Labels of whole images
/// count images by class, captions and modifications those that have one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(pub BTreeMap<u32, u64>);

impl Histogram {
    /// Counts one label more.
    pub fn add(&mut self, label: &Label) {
        let known = |there: bool| if there { 1 } else { u32::from(IGNORE) };
        match label {
            Label::Classes(map) | Label::Binary(map) => self.add_map(map),
            Label::Edges(maps) => maps.iter().for_each(|map| self.add_map(map)),
            Label::Depth(map) => map.iter().for_each(|&metres| self.count(known(metres > 0.0))),
            Label::Normals(map) => {
                let normals = map.rows();
                normals.into_iter().for_each(|n| self.count(known(n.iter().any(|&v| v != 0.0))));
            }
            Label::Category(class) => self.count(*class),
            Label::Caption(_) | Label::Modified { .. } => self.count(1),
            Label::Tags(flags) => {
                (0..).zip(flags).filter(|(_, on)| **on).for_each(|(class, _)| self.count(class));
            }
        }
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(value, count)| *self.0.entry(*value).or_default() += count);
    }

    fn add_map(&mut self, map: &Array2<u8>) {
        let mut counts = [0_u64; 256];
        map.iter().for_each(|&value| counts[usize::from(value)] += 1);
        let seen = (0..).zip(counts).filter(|(_, count)| *count > 0);
        seen.for_each(|(value, count)| *self.0.entry(value).or_default() += count);
    }

    fn count(&mut self, value: u32) {
        *self.0.entry(value).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array3, array};

    use super::*;

    #[test]
    fn values_are_counted_over_labels() {
        let mut counts = Histogram::default();
        counts.add(&Label::Classes(array![[0, 1], [1, 255]]));
        counts.add(&Label::Category(1));
        assert_eq!(counts.0, BTreeMap::from([(0, 1), (1, 3), (255, 1)]));
        let mut normals = Array3::zeros((1, 2, 3));
        normals[[0, 1, 2]] = 1.0;
        let mut counts = Histogram::default();
        counts.add(&Label::Normals(normals));
        counts.add(&Label::Depth(array![[0.0, 2.5]]));
        counts.merge(&counts.clone());
        assert_eq!(counts.0, BTreeMap::from([(1, 4), (255, 4)]));
    }
}
