//! Corners of a polygon, held as small as they can be without a change.

use std::borrow::Cow;

/// `x, y, x, y, ..` in pixels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Corners {
    /// Hundredths of pixels, to which COCO's files are rounded: half the memory.
    Hundredths(Box<[i32]>),
    /// What has more digits.
    Plain(Box<[f64]>),
}

impl From<Vec<f64>> for Corners {
    fn from(xy: Vec<f64>) -> Self {
        let small: Option<Box<[i32]>> = xy.iter().map(|&number| hundredths(number)).collect();
        small.map_or_else(|| Self::Plain(xy.into_boxed_slice()), Self::Hundredths)
    }
}

/// The number in hundredths, where dividing them gives the same number again.
fn hundredths(number: f64) -> Option<i32> {
    let whole = (100.0 * number).round();
    let same = whole.abs() <= f64::from(i32::MAX) && whole / 100.0 == number;
    same.then_some(whole as i32)
}

impl Corners {
    pub(crate) fn numbers(&self) -> Cow<'_, [f64]> {
        match self {
            Self::Hundredths(whole) => whole.iter().map(|&v| f64::from(v) / 100.0).collect(),
            Self::Plain(numbers) => Cow::Borrowed(numbers),
        }
    }

    /// Whether there are less than three: a point or a line, or a box where tools write its
    /// `x, y, width, height`. Detectron2 leaves such polygons out as well.
    pub(crate) fn are_too_few(&self) -> bool {
        let count = match self {
            Self::Hundredths(whole) => whole.len(),
            Self::Plain(numbers) => numbers.len(),
        };
        count < 6 && count.is_multiple_of(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were_written() {
        let texts = (-70_000_i32..70_000).map(|k| format!("{}.{:02}", k / 7, k.rem_euclid(100)));
        let numbers: Vec<f64> = texts.map(|text| text.parse().unwrap()).collect();
        let corners = Corners::from(numbers.clone());
        assert!(matches!(corners, Corners::Hundredths(_)));
        assert_eq!(*corners.numbers(), numbers);
        for other in [1.0 / 3.0, 0.125, 1e9, 4.0e-320] {
            let corners = Corners::from(vec![1.5, other]);
            assert!(matches!(corners, Corners::Plain(_)), "{other}");
            assert_eq!(*corners.numbers(), [1.5, other]);
        }
    }
}
