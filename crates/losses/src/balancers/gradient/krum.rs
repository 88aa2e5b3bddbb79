//! Krum and Multi-Krum (Blanchard et al., NeurIPS 2017).

use ndarray::Array2;
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect;
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// The mean of the task gradients that lie nearest to others; `f` of the `T` are expected to mislead.
///
/// A task scores the sum of its squared distances to the `T - f - 2` nearest other task gradients,
/// to one at least, and the `selected` tasks of the lowest scores have the weight `1 / selected`.
/// The defaults trust all tasks and give their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Krum {
    /// `f`, below the number of tasks.
    pub misleading: usize,
    /// How many tasks are selected; `T - f` if absent, 1 is Krum as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected: Option<usize>,
}

impl Part for Krum {
    const NAME: &'static str = "krum";
    const SUMMARY: &'static str = "the mean of the task gradients that lie nearest to others";

    fn example() -> Self {
        Krum::default()
    }
}

impl BalancerPart for Krum {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Blanchard et al., NeurIPS 2017, arXiv 1703.02757"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        let misleading = self.misleading as f64;
        expect(self.misleading < num_tasks, "misleading", "fewer than the tasks", misleading)?;
        let selected = self.selected.unwrap_or(1);
        let some = (1..=num_tasks).contains(&selected);
        expect(some, "selected", "from 1 to the number of tasks", selected as f64)?;
        Ok(Method::gram(*self))
    }
}

impl Krum {
    fn scores(&self, gram: &Array2<f64>) -> Vec<f64> {
        let tasks = gram.nrows();
        let nearest = tasks.saturating_sub(self.misleading + 2).max(1);
        let score = |task: usize| {
            let distance =
                |other| gram[[task, task]] + gram[[other, other]] - 2.0 * gram[[task, other]];
            let others = (0..tasks).filter(|other| *other != task);
            let mut distances: Vec<f64> = others.map(distance).collect();
            distances.sort_by(f64::total_cmp);
            distances.iter().take(nearest).sum()
        };
        (0..tasks).map(score).collect()
    }
}

impl GramAggregator for Krum {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        let scores = self.scores(gram.of(info)?);
        // A batch may lack labels of some tasks.
        let rest = scores.len().saturating_sub(self.misleading);
        let selected = self.selected.unwrap_or(rest).clamp(1, scores.len());
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let mut weights = vec![0.0; scores.len()];
        order.iter().take(selected).for_each(|task| weights[*task] = 1.0 / selected as f64);
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{agree, gram, refusal, weights};

    #[test]
    fn a_task_that_lies_apart_is_left_out() {
        // On a line at 0, 1, 3 and 10.
        let rows = ndarray::arr2(&[[0.0], [1.0], [3.0], [10.0]]);
        let of = |misleading, selected| weights(&mut Krum { misleading, selected }, &gram(&rows));
        // One nearest: squared distances 1, 1, 4 and 49.
        agree(
            &Krum { misleading: 1, selected: None }.scores(gram(&rows).matrix()),
            &[1.0, 1.0, 4.0, 49.0],
        );
        // Two nearest: 1 + 9, 1 + 4, 4 + 9, 49 + 81.
        agree(&Krum::default().scores(gram(&rows).matrix()), &[10.0, 5.0, 13.0, 130.0]);
        agree(&of(1, None), &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]);
        agree(&of(0, Some(1)), &[0.0, 1.0, 0.0, 0.0]);
        agree(&of(0, None), &[0.25; 4]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Krum>(r#"{"misleading": 2}"#);
        assert_eq!(found, "misleading: expected fewer than the tasks, found 2");
        let found = refusal::<Krum>(r#"{"selected": 3}"#);
        assert_eq!(found, "selected: expected from 1 to the number of tasks, found 3");
    }
}
