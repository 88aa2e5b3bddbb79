//! What stored values and colours say of a collection of pictures: how often each comes.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayD};

/// Share of all pixels that values or colours of classes have together, at least.
const MOST: f64 = 0.7;
/// Share of all pixels that one colour of a class has, at least.
const SOME: f64 = 0.005;
/// A mixture of two colours is so much rarer than each, and so near to their line.
const MORE: u64 = 3;
const NEAR: f64 = 4.0;
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

impl Counts<[u8; 3]> {
    /// The colours of classes among those of softened borders: frequent, and no mixture of two that
    /// are much more so. None where softening does not explain most colours, because palettes hold
    /// mixtures too.
    pub(super) fn pure(&self) -> Option<Vec<[u8; 3]>> {
        let frequent = self.frequent()?;
        let mixed = |colour: &[u8; 3]| {
            let often = self.0[colour] * MORE;
            let ends: Vec<&[u8; 3]> =
                frequent.iter().filter(|other| self.0[*other] >= often).collect();
            let pairs = ends.iter().flat_map(|a| ends.iter().map(move |b| (*a, *b)));
            pairs.into_iter().any(|(a, b)| a < b && is_between(*colour, *a, *b))
        };
        let pure: Vec<[u8; 3]> = frequent.iter().copied().filter(|c| !mixed(c)).collect();
        let explained = self.len() - pure.len() >= 2 * pure.len();
        (explained && pure.len() >= 2).then_some(pure)
    }
}

/// Whether a colour is a mixture of two others.
fn is_between(colour: [u8; 3], a: [u8; 3], b: [u8; 3]) -> bool {
    let vector =
        |from: [u8; 3], to: [u8; 3]| [0, 1, 2].map(|c| f64::from(to[c]) - f64::from(from[c]));
    let dot = |u: [f64; 3], v: [f64; 3]| u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
    let (line, here) = (vector(a, b), vector(a, colour));
    let share = dot(line, here) / dot(line, line);
    let away = [0, 1, 2].map(|c| here[c] - share * line[c]);
    0.0 < share && share < 1.0 && dot(away, away) <= NEAR * NEAR
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
    share_of(colours.rows().into_iter().map(|pixel| square(pixel.iter().map(|&v| direction(v)))))
}

/// The same of colours that were read as numbers.
pub(super) fn colour_unit_share(colours: &ArrayD<f64>) -> f64 {
    share_of(colours.rows().into_iter().map(|pixel| square(pixel.iter().map(|&v| direction(v)))))
}

/// Share of vectors of unit length, or of none.
pub(super) fn vector_unit_share(vectors: &ArrayD<f64>) -> f64 {
    share_of(vectors.rows().into_iter().map(|vector| square(vector.iter().copied())))
}

/// What a byte stands for in normals that are colours.
fn direction(byte: impl Into<f64>) -> f64 {
    byte.into() / 127.5 - 1.0
}

fn square(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.map(|number| number * number).sum()
}

/// Share of squared lengths that are those of unit vectors, or of none at all.
fn share_of(squares: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = squares.len();
    let unit = |sum: &f64| (0.9..1.1).contains(sum) || *sum < 0.01 || !sum.is_finite();
    squares.filter(unit).count() as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(u32, u64)]) -> Counts<u32> {
        Counts(pairs.iter().copied().collect())
    }

    #[test]
    fn softened_masks_differ_from_classes() {
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
    fn mixtures_of_frequent_colours_are_no_classes() {
        let (black, red, green) = ([0, 0, 0], [255, 0, 0], [0, 255, 0]);
        let mut soft = Counts(BTreeMap::from([(black, 300), (red, 300), (green, 300)]));
        let mixed = [[48, 0, 0], [207, 0, 0], [0, 48, 0], [0, 207, 0], [48, 207, 0], [207, 48, 0]];
        soft.0.extend(mixed.map(|colour| (colour, 15)));
        assert_eq!(soft.pure(), Some(vec![black, green, red]));
        // PASCAL's palette, whose colours are halves of each other.
        let classes = [[0, 0, 0], [128, 0, 0], [64, 0, 0], [192, 0, 0], [0, 128, 0], [0, 64, 0]];
        let palette =
            Counts(classes.iter().zip([900, 400, 60, 50, 300, 40]).map(|(c, n)| (*c, n)).collect());
        assert_eq!(palette.pure(), None);
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
