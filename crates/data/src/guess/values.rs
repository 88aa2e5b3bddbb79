//! What stored values and colours say of a collection of pictures: how often each comes.

use std::collections::BTreeMap;

use ndarray::Array3;

/// Share of all pixels that values or colours of classes have together, at least.
const MOST: f64 = 0.7;
/// Share of all pixels that one colour of a class has, at least.
const SOME: f64 = 0.005;
/// Values between the ends of a softened mask have at most this share of the pixels.
const SOFT: f64 = 0.3;
/// Softened borders have at least so many values between the ends.
const STEPS: usize = 3;

/// How often each value comes.
#[derive(Debug, Default)]
pub(super) struct Counts<T>(pub(super) BTreeMap<T, u64>);

impl<T: Ord + Copy> Counts<T> {
    pub(super) fn add(&mut self, values: impl Iterator<Item = T>) {
        values.for_each(|value| *self.0.entry(value).or_default() += 1);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = T> + '_ {
        self.0.keys().copied()
    }

    /// Share of the pixels with a value that `counts`.
    pub(super) fn share(&self, counts: impl Fn(T) -> bool) -> f64 {
        let all: u64 = self.0.values().sum();
        let some: u64 = self.0.iter().filter(|(value, _)| counts(**value)).map(|(_, n)| n).sum();
        some as f64 / all.max(1) as f64
    }

    /// Values that are too frequent to be between two others, if they are most of all.
    pub(super) fn frequent(&self) -> Option<Vec<T>> {
        let all: u64 = self.0.values().sum();
        let often = |count: u64| count as f64 >= SOME * all as f64;
        let found: Vec<T> =
            self.0.iter().filter(|(_, count)| often(**count)).map(|(value, _)| *value).collect();
        let most = self.share(|value| found.contains(&value)) >= MOST;
        (most && !found.is_empty()).then_some(found)
    }
}

impl Counts<u32> {
    /// The largest value, if most pixels are 0 or that, and what is between is spread out as
    /// softened borders are: no class has a value that depends on how a picture was resized.
    pub(super) fn soft_mask(&self) -> Option<u32> {
        let top = self.0.keys().next_back().copied().filter(|&top| top >= 8)?;
        let between: Vec<u32> = self.values().filter(|&value| value > 0 && value < top).collect();
        let spread = between.len() >= STEPS && between.last().is_some_and(|last| 2 * last >= top);
        let few = self.share(|value| value > 0 && value < top) <= SOFT;
        let ends = self.0.contains_key(&0) && self.share(|value| value == top) > 0.01;
        (spread && few && ends).then_some(top)
    }

    /// Whether the values leave most numbers below the largest out.
    pub(super) fn has_gaps(&self) -> bool {
        let top = self.values().filter(|&value| value != 255).max().unwrap_or(0);
        let some = self.values().filter(|&value| value != 255).count();
        top >= 8 && 2 * some <= top as usize + 1
    }
}

/// Share of pixels whose colours are unit vectors, or grey for none.
pub(super) fn unit_share(colours: &Array3<u16>) -> f64 {
    let unit = |pixel: ndarray::ArrayView1<u16>| {
        let sum: f64 = pixel.iter().map(|&v| (f64::from(v) / 127.5 - 1.0).powi(2)).sum();
        (0.9..1.1).contains(&sum) || sum < 0.01
    };
    let pixels = colours.len() / 3;
    colours.rows().into_iter().filter(|pixel| unit(*pixel)).count() as f64 / pixels.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(u32, u64)]) -> Counts<u32> {
        Counts(pairs.iter().copied().collect())
    }

    #[test]
    fn softened_masks_are_told_from_classes() {
        let soft =
            counts(&[(0, 700), (32, 9), (64, 12), (96, 10), (159, 10), (191, 11), (255, 300)]);
        assert_eq!(soft.soft_mask(), Some(255));
        // Up to 251 as some tools resize, and resized twice.
        let other = counts(&[(0, 600), (3, 40), (60, 20), (130, 20), (200, 30), (251, 300)]);
        assert_eq!(other.soft_mask(), Some(251));
        let voc = counts(&[(0, 700), (1, 30), (7, 30), (15, 200), (20, 1), (255, 60)]);
        assert_eq!(voc.soft_mask(), None);
        let trimap = counts(&[(0, 500), (128, 60), (255, 400)]);
        assert_eq!(trimap.soft_mask(), None);
        let classes = counts(&[(0, 200), (50, 200), (100, 200), (150, 200), (200, 200)]);
        assert_eq!(classes.soft_mask(), None);
    }

    #[test]
    fn frequent_values_are_those_of_classes() {
        let soft = counts(&[(0, 500), (1, 2), (2, 2), (3, 2), (9, 400)]);
        assert_eq!(soft.frequent(), Some(vec![0, 9]));
        let noise: Counts<u32> = Counts((0..1000).map(|value| (value, 1)).collect());
        assert_eq!(noise.frequent(), None);
        assert!(counts(&[(7, 1), (11, 1), (26, 1), (255, 1)]).has_gaps());
        assert!(!counts(&[(0, 1), (1, 1), (5, 1)]).has_gaps());
    }
}
