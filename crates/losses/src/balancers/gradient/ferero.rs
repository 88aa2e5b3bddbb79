//! FERERO: gradients guided by a preference among losses (Chen et al., NeurIPS 2024, arXiv 2412.01773).

use ndarray::Array1;
use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balancers::check::{expect_not_negative, expect_positive};
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::project;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;
use crate::{Error, Result};

/// `d = J^T lambda / sum |lambda|`, `lambda = lambda_f + B lambda_h`, after one step of both towards
/// the shortest `d` that also brings the losses `F` nearer to multiples of `preference`.
///
/// ```text
/// lambda_f <- S(lambda_f - gamma G lambda)
/// lambda_h <- lambda_h - gamma B (G lambda - c F)        B = I - p p^T / |p|^2
/// ```
///
/// `S` is the nearest point of the simplex and `p` the preference, one number for each task; without
/// one `lambda_h` stays 0, and the weights move towards MGDA's. `G` and `F` are divided by the mean
/// diagonal and the mean loss, so that rates have no unit; the release divides by nothing. For two
/// tasks its `B` is the row of which this is the square; for more than two `B` is our reading. Of the
/// paper's partial orders there is the plain one, in which every loss counts by itself.
///
/// Weights may be negative where a loss is far below its share. Tasks without labels keep their
/// `lambda`; the others share the rest of `lambda_f`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ferero {
    /// Rate of the weights.
    pub gamma: f64,
    /// `c`: how much the distance from the preference counts beside the length of `d`.
    pub constraint: f64,
    /// The ratio that losses are to have, a number above 0 for each task; none for no such aim.
    pub preference: Option<Vec<f64>>,
    /// Whether two batches more decide about the weights, as in the paper's stochastic variant.
    pub double_sampling: bool,
}

impl Default for Ferero {
    fn default() -> Self {
        Self { gamma: 0.1, constraint: 0.5, preference: None, double_sampling: false }
    }
}

impl Part for Ferero {
    const NAME: &'static str = "ferero";
    const SUMMARY: &'static str = "gradients guided by a preference among losses";

    fn example() -> Self {
        Ferero::default()
    }
}

impl BalancerPart for Ferero {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }

    fn source(&self) -> &'static str {
        "Chen et al., NeurIPS 2024, arXiv 2412.01773"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn needs(&self) -> &'static str {
        if self.double_sampling {
            "Gram matrix, losses, two extra batches"
        } else {
            "Gram matrix, losses"
        }
    }

    fn cost(&self) -> &'static str {
        if self.double_sampling {
            "3T backwards, 3T x P numbers"
        } else {
            "T backwards, T x P numbers"
        }
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::gram(self.clone().build(num_tasks)?))
    }
}

impl Ferero {
    fn build(self, num_tasks: usize) -> Result<Guided> {
        expect_positive("gamma", self.gamma)?;
        expect_not_negative("constraint", self.constraint)?;
        let preference = self.preference.as_deref().unwrap_or_default();
        for (task, share) in preference.iter().enumerate() {
            expect_positive(&format!("preference[{task}]"), *share)?;
        }
        if self.preference.is_some() && preference.len() != num_tasks {
            let (key, expected) = ("preference".into(), "a number for each task");
            let found = format!("{} for {num_tasks} tasks", preference.len());
            return Err(Error::Config { key, expected, found });
        }
        let uniform = vec![1.0 / num_tasks as f64; num_tasks];
        let state = State::new([("order", uniform), ("constraint", vec![0.0; num_tasks])]);
        Ok(Guided { config: self, num_tasks, state })
    }
}

/// The weights that move: `lambda_f` as `order`, and `lambda_h` as `constraint`.
#[derive(Debug)]
struct Guided {
    config: Ferero,
    num_tasks: usize,
    state: State,
}

impl Guided {
    /// `B v` for the tasks of the step; zero without a preference.
    fn across(&self, v: &Array1<f64>, info: &StepInfo) -> Array1<f64> {
        let Some(preference) = &self.config.preference else { return Array1::zeros(v.len()) };
        let p: Array1<f64> = info.tasks().iter().map(|task| preference[*task]).collect();
        v - &p * (p.dot(v) / p.dot(&p))
    }

    fn of(&self, name: &str, info: &StepInfo) -> Array1<f64> {
        info.tasks().iter().map(|task| self.state[name][*task]).collect()
    }

    fn keep(&mut self, name: &str, values: &Array1<f64>, info: &StepInfo) {
        for (task, value) in info.tasks().iter().zip(values) {
            self.state[name][*task] = *value;
        }
    }
}

impl GramAggregator for Guided {
    fn weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<Vec<f64>> {
        info.of(self.num_tasks)?;
        let gram = by_mean(gram.of(info)?.to_owned(), gram.matrix().diag().mean());
        let losses = by_mean(info.losses().iter().copied().collect(), mean_size(info.losses()));
        let order = self.of("order", info);
        let share = order.sum();
        let order =
            if share > 0.0 { order / share } else { Array1::ones(info.len()) / info.len() as f64 };
        let constraint = self.of("constraint", info);
        let slope = gram.dot(&(&order + &self.across(&constraint, info)));
        let order = project(&(order - &slope * self.config.gamma));
        let pull = self.across(&(slope - losses * self.config.constraint), info);
        let constraint = constraint - pull * self.config.gamma;
        let lambda = &order + &self.across(&constraint, info);
        self.keep("order", &(&order * share), info);
        self.keep("constraint", &constraint, info);
        let size = lambda.mapv(f64::abs).sum();
        Ok(if size > 0.0 { (lambda / size).to_vec() } else { order.to_vec() })
    }

    fn extra_batches(&self) -> usize {
        if self.config.double_sampling { 2 } else { 0 }
    }

    fn state(&self) -> Option<&State> {
        Some(&self.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.state)
    }
}

fn mean_size(losses: &[f64]) -> Option<f64> {
    Some(losses.iter().map(|loss| loss.abs()).sum::<f64>() / losses.len() as f64)
}

/// `numbers / mean`, or zeros where the mean is none that divides.
fn by_mean<D: ndarray::Dimension>(
    numbers: ndarray::Array<f64, D>,
    mean: Option<f64>,
) -> ndarray::Array<f64, D> {
    match mean {
        Some(mean) if mean > 0.0 => numbers / mean,
        _ => numbers * 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{agree, info, j2, refusal, weights};

    fn preferring(preference: &[f64]) -> Ferero {
        Ferero { preference: Some(preference.to_vec()), ..Ferero::default() }
    }

    /// G = [[18, -22], [-22, 38]], its mean diagonal 28: the slope at (1/2, 1/2) is (-2, 8) / 28. The
    /// projection takes its mean off, and so does B.
    #[test]
    fn one_step_goes_down_the_slope_and_towards_the_preference() {
        let step = 0.1 * 5.0 / 28.0;
        let mut balancer = Ferero::default().build(2).unwrap();
        agree(&weights(&mut balancer, &j2()), &[0.5 + step, 0.5 - step]);
        // F is (3, 1) by its mean (3/2, 1/2), of which B leaves (1/2, -1/2).
        let mut balancer = preferring(&[1.0, 1.0]).build(2).unwrap();
        let found = balancer.weights(&j2(), &info(&[3.0, 1.0])).unwrap();
        let pulled = 2.0 * step + 0.1 * 0.5 * 0.5;
        agree(&found, &[0.5 + pulled, 0.5 - pulled]);
    }

    #[test]
    fn losses_in_the_preferred_ratio_pull_nothing() {
        let found = |constraint: f64| {
            let config = Ferero { constraint, ..preferring(&[3.0, 1.0]) };
            config.build(2).unwrap().weights(&j2(), &info(&[6.0, 2.0])).unwrap()
        };
        agree(&found(0.0), &found(0.9));
    }

    #[test]
    fn a_task_without_labels_keeps_its_weight() {
        let mut balancer = preferring(&[1.0, 1.0, 1.0]).build(3).unwrap();
        let step = StepInfo::new(3, &[0, 2], &[3.0, 1.0], StepSeed { seed: 0, step: 0 }).unwrap();
        let two = balancer.weights(&j2(), &step).unwrap();
        let mut alone = preferring(&[1.0, 1.0]).build(2).unwrap();
        agree(&two, &alone.weights(&j2(), &info(&[3.0, 1.0])).unwrap());
        assert_eq!(balancer.state["order"][1], 1.0 / 3.0);
        agree(&[balancer.state["order"].iter().sum()], &[1.0]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Ferero>(r#"{"gamma": 0}"#);
        assert_eq!(found, "gamma: expected a finite number above 0, found 0");
        let found = refusal::<Ferero>(r#"{"preference": [1, 0]}"#);
        assert_eq!(found, "preference[1]: expected a finite number above 0, found 0");
        let found = refusal::<Ferero>(r#"{"preference": [1]}"#);
        assert_eq!(found, "preference: expected a number for each task, found 1 for 2 tasks");
    }
}
