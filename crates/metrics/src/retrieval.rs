//! How often the text of an image is found among all texts, and the image of a text.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView3, Axis, s};

use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{Metric, Score};
use crate::seen::SeenMut;

const NAME: &str = "retrieval";
/// Numbers of a text's number.
const LABEL: usize = 3;
/// How far down a ranking a text may stand.
const RANKS: [usize; 3] = [1, 5, 10];

/// Images and texts as rows, and the number of each row's text.
type Sides = ([Array2<f32>; 2], Vec<[u32; LABEL]>);

/// Recall of image-text retrieval over all images seen, in both directions (arXiv 2103.00020,
/// table 13).
///
/// # Shapes
/// Prediction `[2 * embed_dim, 1, 1]` holds an image's embedding, of any length, then its text's;
/// target `[3, 1, 1]` is the number of the text, equal for equal texts, `NaN` without one.
///
/// # Scores
/// - `i2t_r1`, `i2t_r5`, `i2t_r10` (%): images with a text equal to their own among the `k` texts
///   with the largest products;
///   where images are what is sought, these are `r1`, `r5` and `r10`, and all;
/// - `t2i_r1`, `t2i_r5`, `t2i_r10` (%): texts with an image of an equal text among the `k` images.
///   An image's length does not change its rank: products are those of directions.
///
/// Equal texts are one candidate, so that a text which many images share fills no ranks. Of equal
/// products the right one is ranked last.
#[derive(Debug, Clone)]
pub struct Retrieval {
    /// Names of the scores, three for each direction.
    names: &'static [&'static str],
    /// For each image its text's number, then both embeddings; the flag says where a row ends.
    rows: Vec<(f32, bool)>,
}

impl Retrieval {
    /// An empty metric between images and texts.
    pub fn of_texts() -> Self {
        let names = &["i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10"];
        Self { names, rows: Vec::new() }
    }

    /// An empty metric from what asks, an image and a text, to images: its second half holds the
    /// embedding of the image that is asked for, and the number is that of this image.
    pub fn of_images() -> Self {
        Self { names: &["r1", "r5", "r10"], rows: Vec::new() }
    }

    /// Images and texts as rows of length 1, and which text is whose.
    fn sides(&self) -> Option<Sides> {
        let rows: Vec<Vec<f32>> = self
            .rows
            .split_inclusive(|(_, last)| *last)
            .map(|row| row.iter().map(|(value, _)| *value).collect())
            .collect();
        let width = rows.first()?.len() - LABEL;
        let labels = rows.iter().map(|row| [0, 1, 2].map(|c| row[c] as u32)).collect();
        let numbers = rows.iter().flat_map(|row| row[LABEL..].iter().copied()).collect();
        let both = Array2::from_shape_vec((rows.len(), width), numbers).ok()?;
        let half = width / 2;
        let sides = [both.slice(s![.., ..half]), both.slice(s![.., half..])];
        Some((sides.map(|side| unit_rows(side.to_owned())), labels))
    }
}

impl Metric for Retrieval {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        let channels = prediction.dim().0;
        let even = (channels - channels % 2).max(2);
        check::shape(NAME, "prediction", &prediction, [even, 1, 1])?;
        check::shape(NAME, "target", &target, [LABEL, 1, 1])?;
        check::prediction(NAME, &prediction, "a number", |_| true)?;
        check::target(NAME, &target, "a whole number", |v| v.fract() == 0.0 && v >= 0.0)?;
        if target.iter().any(|v| v.is_nan()) {
            return Ok(());
        }
        self.rows.extend(target.iter().chain(&prediction).map(|&value| (value, false)));
        if let Some((_, last)) = self.rows.last_mut() {
            *last = true;
        }
        Ok(())
    }

    fn compute(&self) -> Result<Vec<Score>> {
        let ([images, texts], labels) =
            self.sides().ok_or(MetricError::NoLabel { metric: NAME })?;
        let to_text = recall(&images.dot(&texts.t()), &labels);
        let to_image = || recall(&texts.dot(&images.t()), &labels);
        let mut shares = to_text.to_vec();
        if self.names.len() > shares.len() {
            shares.extend(to_image());
        }
        let scores = self.names.iter().zip(shares);
        Ok(scores.map(|(name, share)| Score::percent(name, share)).collect())
    }

    fn seen_mut(&mut self) -> SeenMut<'_> {
        SeenMut { lists: vec![&mut self.rows], ..SeenMut::default() }
    }
}

fn unit_rows(mut rows: Array2<f32>) -> Array2<f32> {
    for mut row in rows.axis_iter_mut(Axis(0)) {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        row.mapv_inplace(|v| v / length);
    }
    rows
}

/// The share of rows of `products` whose own label stands among the first [`RANKS`] labels, where a
/// label stands where its best column does.
fn recall(products: &Array2<f32>, labels: &[[u32; LABEL]]) -> [f64; RANKS.len()] {
    let mut hits = [0usize; RANKS.len()];
    for (row, own) in products.axis_iter(Axis(0)).zip(labels) {
        let mut best: BTreeMap<&[u32; LABEL], f32> = BTreeMap::new();
        for (value, label) in row.iter().zip(labels) {
            let place = best.entry(label).or_insert(*value);
            *place = place.max(*value);
        }
        let right = best.remove(own).unwrap_or(f32::NEG_INFINITY);
        let before = best.values().filter(|value| **value >= right).count();
        hits.iter_mut().zip(RANKS).for_each(|(hit, k)| *hit += usize::from(before < k));
    }
    hits.map(|hit| hit as f64 / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn column(values: &[f32]) -> Array3<f32> {
        Array3::from_shape_vec((values.len(), 1, 1), values.to_vec()).unwrap()
    }

    fn seen(rows: &[([f32; 4], f32)]) -> Retrieval {
        let mut metric = Retrieval::of_texts();
        for (row, label) in rows {
            metric.update(column(row).view(), column(&[*label, 0.0, 0.0]).view()).unwrap();
        }
        metric
    }

    fn values(metric: &Retrieval) -> Vec<f64> {
        metric.compute().unwrap().iter().map(|score| score.value).collect()
    }

    #[test]
    fn ranks_are_counted_in_both_directions() {
        // The first image is nearest to its own text, the second to the first one's; both texts are
        // nearest to the first image, whose length does not matter.
        let metric = seen(&[([3.0, 0.0, 1.0, 0.0], 1.0), ([0.8, 0.6, 0.9, -0.1], 2.0)]);
        assert_eq!(values(&metric), [50.0, 100.0, 100.0, 50.0, 100.0, 100.0]);
    }

    #[test]
    fn equal_texts_are_right_and_fill_no_ranks() {
        let mut rows = vec![([0.6, 0.8, 0.0, 1.0], 9.0)];
        rows.extend([([1.0, 0.0, 1.0, 0.0], 5.0); 12]);
        rows.push(([1.0, 0.0, 0.9, 0.1], 7.0));
        let metric = seen(&rows);
        let share = |count: f64| 100.0 * count / 14.0;
        // The last image finds the twelve equal texts before its own.
        assert_eq!(values(&metric)[..2], [share(13.0), share(14.0)]);
    }

    #[test]
    fn of_equal_products_the_right_one_is_last() {
        let metric = seen(&[([1.0, 0.0, 1.0, 0.0], 1.0), ([1.0, 0.0, 1.0, 0.0], 2.0)]);
        assert_eq!(values(&metric)[0], 0.0);
    }

    #[test]
    fn images_without_text_do_not_count_and_bad_shapes_are_refused() {
        let mut metric = seen(&[([1.0, 0.0, f32::MAX, 0.0], f32::NAN)]);
        assert!(matches!(metric.compute(), Err(MetricError::NoLabel { .. })));
        let odd = metric.update(column(&[1.0; 3]).view(), column(&[1.0; 3]).view());
        assert!(matches!(odd, Err(MetricError::Shape { key: "prediction", .. })));
        let other = metric.update(column(&[1.0; 4]).view(), column(&[1.0]).view());
        assert!(matches!(other, Err(MetricError::Shape { key: "target", .. })));
    }

    #[test]
    fn two_that_saw_a_part_are_one_that_saw_all() {
        let rows =
            [([1.0, 0.2, 0.9, 0.0], 1.0), ([0.1, 0.6, 0.9, 0.1], 2.0), ([0.3, 1.0, 0.2, 2.0], 3.0)];
        let mut all = seen(&rows[..1]);
        all.merge(&seen(&rows[1..]).seen());
        assert_eq!(values(&all), values(&seen(&rows)));
    }
}
