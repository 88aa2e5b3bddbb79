//! A curve of bounded length, however long a run is.

/// More points are joined, two by two.
const MOST: usize = 256;

/// Means of steps, each over as many as the first.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    points: Vec<(f64, f64)>,
    /// Values that one point stands for, and those of the point to come.
    width: usize,
    pending: Vec<(f64, f64)>,
}

impl History {
    /// Adds the value of a step.
    pub(super) fn push(&mut self, step: f64, value: f64) {
        self.pending.push((step, value));
        if self.pending.len() >= self.width.max(1) {
            self.points.extend(mean(&self.pending));
            self.pending.clear();
        }
        if self.points.len() >= MOST {
            self.points = self.points.chunks(2).filter_map(mean).collect();
            self.width = 2 * self.width.max(1);
        }
    }

    /// The curve.
    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// Its last value.
    pub(super) fn last(&self) -> Option<f64> {
        self.pending.last().or(self.points.last()).map(|point| point.1)
    }

    /// The lowest and the highest value.
    pub(super) fn range(&self) -> [f64; 2] {
        let values = self.points.iter().map(|point| point.1);
        let ends = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
            [low.min(value), high.max(value)]
        });
        match ends {
            [low, high] if low < high => ends,
            [low, _] if low.is_finite() => [low - 0.5, low + 0.5],
            _ => [0.0, 1.0],
        }
    }
}

fn mean(part: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = part.len() as f64;
    let sum = part.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
    (count > 0.0).then(|| (sum.0 / count, sum.1 / count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_keep_their_shape_and_stay_short() {
        let mut history = History::default();
        (0..10_000).for_each(|step| history.push(f64::from(step), f64::from(step)));
        assert!(history.points().len() < MOST && history.points().len() >= MOST / 4);
        assert!(history.points().iter().all(|(x, y)| (x - y).abs() < 1e-9));
        assert_eq!(history.last(), Some(9999.0));
        assert!(history.range()[0] < 64.0 && history.range()[1] > 9800.0);
        assert_eq!(History::default().range(), [0.0, 1.0]);
    }
}
