//! How often is the right class first, or among the first five?

use std::ops::Range;

use ndarray::ArrayView3;

use crate::Details;
use crate::check;
use crate::error::{MetricError, Result};
use crate::metric::{ClassScore, Metric, Score};
use crate::seen::SeenMut;

const NAME: &str = "top_k";
/// A task of more classes has no table of what is taken for what: it grows with their square.
const MAX_CONFUSION: usize = 512;

/// Top-1 and top-5 accuracy of image classification.
///
/// # Shapes
/// Prediction `[classes, 1, 1]` holds logits or probabilities, target `[1, 1, 1]` a class index.
///
/// # Scores
/// - `top1` (%): share of images whose class has the highest value
/// - `top5` (%): share of images whose class is among the five highest; left out below six classes
/// - `top1_within`, `top5_within` (%): the same among the task's own classes alone, where the
///   logits are those of a union of tasks
///
/// Of equal values the lower class index ranks first, as arg-max has it.
#[derive(Debug, Clone)]
pub struct TopK {
    num_classes: usize,
    /// The task's own classes among all.
    own: Range<usize>,
    /// Images, and those whose class ranks first, of every own class.
    by_class: Vec<(u64, u64)>,
    /// Images by own class and first class, where there are not too many; those of other tasks stand in the last column.
    confusion: Vec<Vec<u64>>,
    images: u64,
    all: Counts,
    within: Counts,
}

/// Images whose class ranks first, and among the first five.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    top1: u64,
    top5: u64,
}

impl TopK {
    /// A metric over `num_classes` classes.
    ///
    /// # Errors
    /// If there are no classes.
    pub fn new(num_classes: usize) -> Result<Self> {
        Self::of_union(0..num_classes, num_classes)
    }

    /// A metric of the task whose classes are `own` of the `num_classes` of a union of tasks.
    ///
    /// Predictions hold the logits of all classes, targets count from the first own class.
    ///
    /// # Errors
    /// If there are no own classes, or some lie after the last.
    pub fn of_union(own: Range<usize>, num_classes: usize) -> Result<Self> {
        let wrong = |key, expected, found: String| {
            Err(MetricError::Option { metric: NAME, key, expected, found })
        };
        if num_classes == 0 {
            return wrong("num_classes", "at least 1", "0".into());
        }
        if own.is_empty() || own.end > num_classes {
            return wrong("own", "classes of the union", format!("{own:?} of {num_classes}"));
        }
        let (all, within) = (Counts::default(), Counts::default());
        let by_class = vec![(0, 0); own.len()];
        let columns = own.len() + usize::from(own.len() < num_classes);
        let rows = if own.len() <= MAX_CONFUSION { own.len() } else { 0 };
        let confusion = vec![vec![0; columns]; rows];
        Ok(Self { num_classes, own, by_class, confusion, images: 0, all, within })
    }
}

impl Metric for TopK {
    fn update(&mut self, prediction: ArrayView3<f32>, target: ArrayView3<f32>) -> Result<()> {
        let expected = format!("a class in 0..{}", self.own.len());
        check::shape(NAME, "prediction", &prediction, [self.num_classes, 1, 1])?;
        check::shape(NAME, "target", &target, [1, 1, 1])?;
        check::prediction(NAME, &prediction, "a logit", |_| true)?;
        check::target(NAME, &target, &expected, |v| check::is_class(v, self.own.len()))?;
        let label = target[[0, 0, 0]];
        if !label.is_nan() {
            let class = self.own.start + label as usize;
            self.images += 1;
            let place = rank(&prediction, class, 0..self.num_classes);
            let (images, hits) = &mut self.by_class[label as usize];
            *images += 1;
            *hits += u64::from(place < 1);
            self.all.count(place);
            if let Some(row) = self.confusion.get_mut(label as usize) {
                let first = first(&prediction);
                let column = first.checked_sub(self.own.start).unwrap_or(self.own.len());
                row[column.min(self.own.len())] += 1;
            }
            self.within.count(rank(&prediction, class, self.own.clone()));
        }
        Ok(())
    }

    fn seen_mut(&mut self) -> SeenMut<'_> {
        let Self { by_class, confusion, images, all, within, .. } = self;
        let counts = by_class.iter_mut().flat_map(|(images, hits)| [images, hits]);
        let counts = counts.chain(confusion.iter_mut().flatten());
        let others = [images, &mut all.top1, &mut all.top5, &mut within.top1, &mut within.top5];
        SeenMut { counts: counts.chain(others).collect(), ..SeenMut::default() }
    }

    fn compute(&self) -> Result<Vec<Score>> {
        if self.images == 0 {
            return Err(MetricError::NoLabel { metric: NAME });
        }
        let percent = |name, count: u64| Score::percent(name, count as f64 / self.images as f64);
        let mut scores = vec![percent("top1", self.all.top1)];
        if self.num_classes > 5 {
            scores.push(percent("top5", self.all.top5));
        }
        if self.own.len() < self.num_classes {
            scores.push(percent("top1_within", self.within.top1));
            if self.own.len() > 5 {
                scores.push(percent("top5_within", self.within.top5));
            }
        }
        Ok(scores)
    }

    /// Share of the images of each own class whose class has the highest value.
    fn per_class(&self) -> Vec<ClassScore> {
        let one = |&(images, hits): &(u64, u64)| ClassScore {
            metric: "accuracy",
            value: (images > 0).then(|| 100.0 * hits as f64 / images as f64),
            labelled: images > 0,
        };
        self.by_class.iter().map(one).collect()
    }

    fn details(&self) -> Details {
        Details { confusion: self.confusion.clone(), ..Details::default() }
    }
}

impl Counts {
    fn count(&mut self, rank: usize) {
        self.top1 += u64::from(rank < 1);
        self.top5 += u64::from(rank < 5);
    }
}

/// The class of the highest value, the lowest of several.
fn first(prediction: &ArrayView3<f32>) -> usize {
    let values = prediction.iter().copied().enumerate();
    let better = |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
    values.reduce(better).map_or(0, |(class, _)| class)
}

/// Number of classes among `range` that come before `class`.
fn rank(prediction: &ArrayView3<f32>, class: usize, range: Range<usize>) -> usize {
    let value = |index: usize| prediction[[index, 0, 0]];
    let own = value(class);
    let before = |&index: &usize| value(index) > own || (value(index) == own && index < class);
    range.filter(before).count()
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    fn class(value: f32) -> Array3<f32> {
        Array3::from_elem((1, 1, 1), value)
    }

    #[test]
    fn counts_ranks() {
        let mut metric = TopK::new(8).unwrap();
        let falling = Array3::from_shape_fn((8, 1, 1), |(index, _, _)| -(index as f32));
        for label in [0.0, 4.0, 5.0, 0.0, f32::NAN] {
            metric.update(falling.view(), class(label).view()).unwrap();
        }
        let scores = metric.compute().unwrap();
        assert_eq!((scores[0].name, scores[0].value), ("top1", 50.0));
        assert_eq!((scores[1].name, scores[1].value), ("top5", 75.0));
    }

    #[test]
    fn a_constant_prediction_is_no_answer() {
        let mut metric = TopK::new(2).unwrap();
        for label in [0.0, 1.0] {
            metric.update(Array3::zeros((2, 1, 1)).view(), class(label).view()).unwrap();
        }
        let scores = metric.compute().unwrap();
        assert_eq!(scores.len(), 1);
        assert_eq!(scores[0].value, 50.0);
    }

    /// methods of EMTAL, section 17: the union decides, not the task's own classes.
    #[test]
    fn a_class_of_another_task_counts_as_wrong() {
        let mut metric = TopK::of_union(2..10, 12).unwrap();
        let mut logits = Array3::zeros((12, 1, 1));
        logits[[2 + 3, 0, 0]] = 1.0;
        metric.update(logits.view(), class(3.0).view()).unwrap();
        logits[[11, 0, 0]] = 2.0;
        metric.update(logits.view(), class(3.0).view()).unwrap();
        let scores: Vec<_> =
            metric.compute().unwrap().iter().map(|score| (score.name, score.value)).collect();
        let expected =
            [("top1", 50.0), ("top5", 100.0), ("top1_within", 100.0), ("top5_within", 100.0)];
        assert_eq!(scores, expected);
        assert!(metric.update(logits.view(), class(8.0).view()).is_err());
        for own in [2..2, 10..13] {
            let message = TopK::of_union(own.clone(), 12).unwrap_err().to_string();
            assert!(message.contains(&format!("{own:?} of 12")), "{message}");
        }
    }

    #[test]
    fn refuses_bad_input() {
        assert!(TopK::new(0).is_err());
        let mut metric = TopK::new(2).unwrap();
        let logits = Array3::zeros((2, 1, 1));
        assert!(metric.update(logits.view(), class(2.0).view()).is_err());
        assert!(metric.update(class(0.0).view(), class(0.0).view()).is_err());
        assert!(metric.update(logits.view(), logits.view()).is_err());
        let nan = Array3::from_elem((2, 1, 1), f32::NAN);
        assert!(metric.update(nan.view(), class(0.0).view()).is_err());
        assert_eq!(metric.compute().unwrap_err(), MetricError::NoLabel { metric: NAME });
    }
}
