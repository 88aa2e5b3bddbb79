//! GradNorm (Chen et al., ICML 2018, arXiv 1711.02257).

use polyptych_registry::Part;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::balancers::check::{expect, expect_not_negative, expect_positive};
use crate::balancers::loss::adam::TaskNumbers;
use crate::balancers::loss::weighting::{LossWeighting, NormsOver, TaskWeights};
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::solve::softmax;
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;
use crate::{Error, Result};

/// A weight below this would soon turn negative, and the loss of its task would rise.
const LEAST: f64 = 1e-3;

/// Weights that make gradients equally long, and those of slow tasks longer.
///
/// With `G_i = w_i |dL_i / dW|` over some shared parameters `W` and `Ltil_i = L_i / L_i(0)`, Adam
/// moves the weights down `sum_i |G_i - mean(G) (Ltil_i / mean(Ltil))^alpha|`, the targets being
/// constants. `L_i(0)` is the mean of a task's first losses, until which its weight stays. A task
/// that starts below 1e-8 counts as one that has not been trained yet. A task without labels keeps
/// its weight; the others share the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gradnorm {
    /// How much slow tasks are helped; the paper has 0.12 to 1.5.
    pub alpha: f64,
    /// Learning rate of the weights: that of the paper, as LibMTL takes the model's.
    pub lr: f64,
    /// Steps whose mean loss is `L_i(0)`; LibMTL takes an epoch.
    pub start_steps: u64,
    /// How the weights are brought back to a sum of `T`.
    pub form: GradnormForm,
    /// The parameters `W`.
    pub over: NormsOver,
}

/// How GradNorm's weights keep their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GradnormForm {
    /// They are divided by their mean after every step, as in the paper.
    Direct,
    /// `w = T softmax(p)`, as in LibMTL.
    Softmax,
}

impl Default for Gradnorm {
    fn default() -> Self {
        let (form, over) = (GradnormForm::Direct, NormsOver::LastBlock);
        Self { alpha: 1.5, lr: 0.025, start_steps: 1, form, over }
    }
}

impl Part for Gradnorm {
    const NAME: &'static str = "gradnorm";
    const SUMMARY: &'static str =
        "weights that make task gradients equally long, those of slow tasks longer";

    fn example() -> Self {
        Gradnorm::default()
    }
}

impl BalancerPart for Gradnorm {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Loss
    }

    fn source(&self) -> &'static str {
        "Chen et al., ICML 2018, arXiv 1711.02257"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn needs(&self) -> &'static str {
        "losses, norms of gradients of the last shared block"
    }

    fn cost(&self) -> &'static str {
        "1 backward, T short ones"
    }

    fn init(&self, num_tasks: usize) -> Result<Method> {
        Ok(Method::loss((*self).build(num_tasks)?))
    }
}

impl Gradnorm {
    fn build(self, num_tasks: usize) -> Result<Normalised> {
        expect_not_negative("alpha", self.alpha)?;
        expect_positive("lr", self.lr)?;
        expect(self.start_steps > 0, "start_steps", "at least 1", self.start_steps as f64)?;
        let zeros = || vec![0.0; num_tasks];
        let start = State::new([("start_sum", zeros()), ("start_count", zeros())]);
        let mut values = TaskNumbers::new(num_tasks, 1.0, self.lr, 0.0);
        values.state = values.state.joined(&start);
        Ok(Normalised { config: self, values })
    }
}

/// The weights, or what they are the softmax of, and the first losses.
#[derive(Debug)]
pub(crate) struct Normalised {
    config: Gradnorm,
    values: TaskNumbers,
}

impl Normalised {
    fn all_weights(&self) -> Vec<f64> {
        let all: Vec<usize> = (0..self.values.len()).collect();
        let values = self.values.values(&all);
        match self.config.form {
            GradnormForm::Direct => values,
            GradnormForm::Softmax => {
                softmax(&values).iter().map(|w| w * all.len() as f64).collect()
            }
        }
    }

    /// Notes the losses of tasks whose start is not known yet.
    fn note(&mut self, info: &StepInfo, losses: &[f64]) {
        for (&task, loss) in info.tasks().iter().zip(losses) {
            if self.values.state["start_count"][task] < self.config.start_steps as f64 {
                self.values.state["start_sum"][task] += loss;
                self.values.state["start_count"][task] += 1.0;
            }
        }
    }

    fn has_started(&self, task: usize) -> bool {
        self.values.state["start_count"][task] >= self.config.start_steps as f64
    }

    /// `L_i / L_i(0)`.
    fn progress(&self, task: usize, loss: f64) -> f64 {
        let start = self.values.state["start_sum"][task] / self.values.state["start_count"][task];
        if start > 1e-8 { loss / start } else { 1.0 }
    }

    /// Derivatives of `sum_i |G_i - target_i|` by the weights, of unweighted norms.
    fn slopes(&self, weights: &[f64], norms: &[f64], progress: &[f64]) -> Vec<f64> {
        let lengths: Vec<f64> = weights.iter().zip(norms).map(|(w, n)| w * n).collect();
        let targets = targets(&lengths, progress, self.config.alpha);
        let side = |gap: f64| if gap == 0.0 { 0.0 } else { gap.signum() };
        let gaps = lengths.iter().zip(targets).map(|(length, target)| side(length - target));
        gaps.zip(norms).map(|(side, norm)| side * norm).collect()
    }

    fn learn(&mut self, tasks: &[usize], weights: &[f64], slopes: &[f64]) {
        match self.config.form {
            GradnormForm::Direct => {
                self.values.descend(tasks, slopes);
                let sum = weights.iter().sum();
                let moved = normalised(&self.values.values(tasks), sum);
                self.values.set(tasks, &moved);
            }
            GradnormForm::Softmax => {
                let count = self.values.len() as f64;
                let mean: f64 =
                    weights.iter().zip(slopes).map(|(w, slope)| w / count * slope).sum();
                let through = weights.iter().zip(slopes).map(|(w, slope)| w * (slope - mean));
                self.values.descend(tasks, &through.collect::<Vec<_>>());
            }
        }
    }
}

/// `mean(G) (Ltil_i / mean(Ltil))^alpha`.
fn targets(lengths: &[f64], progress: &[f64], alpha: f64) -> Vec<f64> {
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    let (length, pace) = (mean(lengths), mean(progress));
    // Where every loss is 0, no task is slower than another.
    let rate = |own: &f64| if pace > 0.0 { own / pace } else { 1.0 };
    progress.iter().map(|own| length * rate(own).powf(alpha)).collect()
}

/// The weights, at least [`LEAST`], scaled to `sum`.
fn normalised(weights: &[f64], sum: f64) -> Vec<f64> {
    let kept: Vec<f64> = weights.iter().map(|w| w.max(LEAST)).collect();
    let scale = sum / kept.iter().sum::<f64>();
    kept.iter().map(|w| w * scale).collect()
}

impl LossWeighting for Normalised {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        info.of(self.values.len())?;
        info.not_negative()?;
        let all = self.all_weights();
        Ok(TaskWeights::of(info.tasks().iter().map(|task| all[*task]).collect(), info))
    }

    fn after_step(&mut self, info: &StepInfo, _new_losses: Option<&[f64]>) -> Result<()> {
        info.of(self.values.len())?;
        let losses = info.not_negative()?;
        let what = "the lengths of the tasks' gradients";
        let norms = info.norms().ok_or(Error::Missing { name: "gradnorm", what })?;
        self.note(info, losses);
        let all = self.all_weights();
        let numbers = info.tasks().iter().zip(losses).zip(norms);
        let started = numbers.filter(|((task, _), _)| self.has_started(**task));
        let (mut tasks, mut weights, mut lengths, mut progress) = Default::default();
        for ((&task, loss), norm) in started {
            Vec::push(&mut tasks, task);
            Vec::push(&mut weights, all[task]);
            Vec::push(&mut lengths, *norm);
            Vec::push(&mut progress, self.progress(task, *loss));
        }
        if !tasks.is_empty() {
            let slopes = self.slopes(&weights, &lengths, &progress);
            self.learn(&tasks, &weights, &slopes);
        }
        Ok(())
    }

    fn norms_over(&self) -> Option<NormsOver> {
        Some(self.config.over)
    }

    fn state(&self) -> Option<&State> {
        Some(&self.values.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.values.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{agree, info, j3, refusal};

    const LOSSES: [f64; 3] = [2.0, 0.5, 1.0];
    const PROGRESS: [f64; 3] = [0.5, 0.8, 0.8];

    /// Behind its first step, whose losses were those of the oracle, with the weights of the start.
    fn started(form: GradnormForm) -> Normalised {
        let mut balancer = Gradnorm { form, ..Gradnorm::default() }.build(3).unwrap();
        balancer.note(&info(&LOSSES), &[4.0, 0.625, 1.25]);
        balancer
    }

    fn measured() -> StepInfo {
        info(&LOSSES).with_norms(&j3().norms().to_vec()).unwrap()
    }

    #[test]
    fn targets_and_slopes_are_those_printed() {
        let (norms, balancer) = (j3().norms().to_vec(), started(GradnormForm::Direct));
        let progress: Vec<f64> = (0..3).map(|task| balancer.progress(task, LOSSES[task])).collect();
        agree(&progress, &PROGRESS);
        let targets = targets(&norms, &PROGRESS, 1.5);
        agree(&targets, &[0.994051, 2.011817, 2.011817]);
        let loss: f64 = norms.iter().zip(&targets).map(|(norm, t)| (norm - t).abs()).sum();
        agree(&[loss], &[1.537572]);
        let slopes = balancer.slopes(&[1.0; 3], &norms, &PROGRESS);
        agree(&slopes, &[1.135782, -1.204159, 2.6]);
        let descended: Vec<f64> = slopes.iter().map(|slope| 1.0 - 0.025 * slope).collect();
        agree(&normalised(&descended, 3.0), &[0.992545, 1.052304, 0.955151]);
    }

    #[test]
    fn the_first_step_is_the_one_printed() {
        let mut balancer = started(GradnormForm::Direct);
        agree(&balancer.weights(&measured()).unwrap().weights, &[1.0; 3]);
        balancer.after_step(&measured(), None).unwrap();
        agree(&balancer.weights(&measured()).unwrap().weights, &[0.983193, 1.033613, 0.983193]);
        let mut balancer = started(GradnormForm::Softmax);
        agree(&balancer.weights(&measured()).unwrap().weights, &[1.0; 3]);
        balancer.after_step(&measured(), None).unwrap();
        // Adam's first moment is a tenth of the first slope.
        let first: Vec<f64> =
            balancer.state().unwrap()["first_moment"].iter().map(|m| m * 10.0).collect();
        agree(&first, &[0.291908, -2.048034, 1.756126]);
        let sum: f64 = balancer.weights(&measured()).unwrap().weights.iter().sum();
        assert!((sum - 3.0).abs() < 1e-12);
    }

    #[test]
    fn fixed_norms_become_equal() {
        let config = Gradnorm { alpha: 0.0, lr: 1e-3, ..Gradnorm::default() };
        let mut balancer = config.build(2).unwrap();
        let info = info(&[1.0, 1.0]).with_norms(&[1.0, 3.0]).unwrap();
        for _ in 0..2000 {
            balancer.after_step(&info, None).unwrap();
        }
        let weights = balancer.weights(&info).unwrap().weights;
        assert!((weights[0] - 1.5).abs() < 5e-3 && (weights[1] - 0.5).abs() < 5e-3, "{weights:?}");
    }

    #[test]
    fn weights_stay_until_the_start_is_known_and_where_there_are_no_labels() {
        let mut balancer = Gradnorm { start_steps: 2, ..Gradnorm::default() }.build(3).unwrap();
        balancer.after_step(&measured(), None).unwrap();
        assert_eq!(balancer.all_weights(), [1.0; 3]);
        let key = StepSeed { seed: 0, step: 1 };
        let two = StepInfo::new(3, &[0, 2], &[1.0, 1.0], key).unwrap();
        balancer.after_step(&two.with_norms(&[1.0, 2.0]).unwrap(), None).unwrap();
        let all = balancer.all_weights();
        assert!(all[1] == 1.0 && all[0] != 1.0 && (all[0] + all[2] - 2.0).abs() < 1e-12, "{all:?}");
        assert_eq!(balancer.state().unwrap()["start_count"], [2.0, 1.0, 2.0]);
    }

    #[test]
    fn nothing_is_divided_by_0() {
        for form in [GradnormForm::Direct, GradnormForm::Softmax] {
            let config = Gradnorm { form, lr: 10.0, ..Gradnorm::default() };
            let mut balancer = config.build(2).unwrap();
            let info = info(&[0.0, 0.0]).with_norms(&[0.0, 1.0]).unwrap();
            for _ in 0..20 {
                balancer.after_step(&info, None).unwrap();
            }
            let weights = balancer.weights(&info).unwrap().weights;
            assert!(weights.iter().all(|w| *w >= 0.0 && w.is_finite()), "{form:?}: {weights:?}");
        }
        let mut balancer = Gradnorm::default().build(1).unwrap();
        let message = balancer.after_step(&info(&[1.0]), None).unwrap_err().to_string();
        let expected = "gradnorm: expected the lengths of the tasks' gradients, found none";
        assert_eq!(message, expected);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Gradnorm>(r#"{"lr": 0}"#);
        assert_eq!(found, "lr: expected a finite number above 0, found 0");
        let found = refusal::<Gradnorm>(r#"{"start_steps": 0}"#);
        assert_eq!(found, "start_steps: expected at least 1, found 0");
    }
}
