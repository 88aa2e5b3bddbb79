//! Precision, recall and what is read off their curve.

/// Pixels counted at one threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    /// Predicted pixels that some annotator confirms.
    pub(super) right: u64,
    /// Predicted pixels.
    pub(super) predicted: u64,
    /// Annotated pixels that were found, summed over annotators.
    pub(super) found: u64,
    /// Annotated pixels, summed over annotators.
    pub(super) annotated: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.predicted += other.predicted;
        self.found += other.found;
        self.annotated += other.annotated;
    }

    pub(super) fn numbers_mut(&mut self) -> [&mut u64; 4] {
        [&mut self.right, &mut self.predicted, &mut self.found, &mut self.annotated]
    }

    pub(super) fn f_measure(&self) -> f64 {
        f_measure(self.precision(), self.recall())
    }

    pub(super) fn precision(&self) -> f64 {
        self.right as f64 / self.predicted.max(1) as f64
    }

    pub(super) fn recall(&self) -> f64 {
        self.found as f64 / self.annotated.max(1) as f64
    }
}

/// The counts with the highest F-measure, at the highest threshold if several share it: an image
/// without any edge to find has F = 0 throughout and is then charged with the fewest wrong pixels.
pub(super) fn best(per_threshold: &[Counts]) -> Counts {
    let better = |best: Counts, next: &Counts| {
        if next.f_measure() >= best.f_measure() { *next } else { best }
    };
    let first = per_threshold.first().copied().unwrap_or_default();
    per_threshold.iter().fold(first, better)
}

/// Highest F-measure on the straight lines between neighbouring thresholds.
pub(super) fn highest_f(per_threshold: &[Counts]) -> f64 {
    let between = per_threshold.windows(2).flat_map(|pair| {
        (1..100).map(|step| {
            let share = f64::from(step) / 100.0;
            let precision = mix(pair[0].precision(), pair[1].precision(), share);
            f_measure(precision, mix(pair[0].recall(), pair[1].recall(), share))
        })
    });
    between.fold(best(per_threshold).f_measure(), f64::max)
}

/// Mean precision at recall 0.01, 0.02, ..., 1.00, and 0 where no threshold has that recall.
pub(super) fn average_precision(per_threshold: &[Counts]) -> f64 {
    let mut points: Vec<(f64, f64)> =
        per_threshold.iter().map(|counts| (counts.recall(), counts.precision())).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    points.dedup_by_key(|point| point.0);
    (1..=100).map(|step| precision_at(&points, f64::from(step) / 100.0)).sum::<f64>() / 100.0
}

/// Linear interpolation in `points`, which rise in recall.
fn precision_at(points: &[(f64, f64)], recall: f64) -> f64 {
    let above = points.partition_point(|point| point.0 < recall);
    match (above.checked_sub(1).map(|below| points[below]), points.get(above)) {
        (_, Some(&(known, precision))) if known == recall => precision,
        (Some((low, first)), Some(&(high, last))) => {
            mix(first, last, (recall - low) / (high - low))
        }
        _ => 0.0,
    }
}

fn mix(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}

fn f_measure(precision: f64, recall: f64) -> f64 {
    match precision + recall {
        0.0 => 0.0,
        sum => 2.0 * precision * recall / sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(right: u64, predicted: u64, found: u64) -> Counts {
        Counts { right, predicted, found, annotated: 100 }
    }

    #[test]
    fn empty_counts_score_zero() {
        assert_eq!(Counts::default().f_measure(), 0.0);
        assert_eq!(highest_f(&[Counts::default(); 3]), 0.0);
        assert_eq!(average_precision(&[Counts::default(); 3]), 0.0);
    }

    #[test]
    fn an_image_without_edges_is_charged_with_its_fewest_pixels() {
        let empty = |predicted| Counts { predicted, ..Counts::default() };
        assert_eq!(best(&[empty(50), empty(20), empty(3)]), empty(3));
    }

    #[test]
    fn the_best_may_lie_between_two_thresholds() {
        // Recall 1, precision 0.25 and recall 0.25, precision 1: F = 0.4 at both ends, 0.625 midway.
        let ends = [counts(100, 400, 100), counts(25, 25, 25)];
        assert!((best(&ends).f_measure() - 0.4).abs() < 1e-12);
        assert!((highest_f(&ends) - 0.625).abs() < 1e-12);
    }

    #[test]
    fn average_precision_counts_recalls_without_a_threshold_as_zero() {
        // Precision 1 from recall 0.25 to 0.75: 51 of 100 levels.
        let flat = [counts(75, 75, 75), counts(25, 25, 25)];
        assert!((average_precision(&flat) - 0.51).abs() < 1e-12);
        // Of two precisions at one recall the higher counts.
        let double = [counts(75, 100, 75), counts(75, 75, 75), counts(25, 25, 25)];
        assert!((average_precision(&double) - 0.51).abs() < 1e-12);
    }
}
