//! One loss weighting and at most one gradient aggregator, joined.

use polyptych_tensor::Tensor;

use crate::balancers::gradient::gram::Gram;
use crate::balancers::gradient::{FeatureGradients, GradientAggregator, GramAggregator};
use crate::balancers::loss::{LossWeighting, NormsOver, TaskWeights};
use crate::balancers::part::{BalancerKind, PrivateGrad};
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;
use crate::balancers::tensor_state::TensorState;
use crate::{Error, Result};

/// Weights losses and combines gradients, step by step.
///
/// In each step: [`Balancer::reuse`]; where that gives weights, or [`Balancer::kind`] is `Loss` and
/// [`Balancer::loss_weights`] does, back-propagate `sum_i weights_i L_i` once and shorten the
/// shared gradient to [`Balancer::max_norm`]. Otherwise collect one gradient of the unweighted
/// losses for each task, over all micro-batches, unscaled and averaged over ranks, and call
/// [`Balancer::gradient_weights`] or [`Balancer::direction`]. Then clip, step the optimiser, and
/// call [`Balancer::after_step`]. [`Error::NonFinite`] at any point asks to skip the step.
#[derive(Debug)]
pub struct Balancer {
    num_tasks: usize,
    loss: Box<dyn LossWeighting>,
    aggregator: Option<Aggregator>,
    private: PrivateGrad,
}

#[derive(Debug)]
pub(crate) enum Aggregator {
    Gram(Box<dyn GramAggregator>),
    Gradients(Box<dyn GradientAggregator>),
}

/// Factors of the gradients of unweighted losses, one for each task of the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientWeights {
    /// For the shared parameters; their sum is already no longer than the method allows.
    pub shared: Vec<f64>,
    /// For each task's own parameters.
    pub private: Vec<f64>,
}

/// What a checkpoint must hold of a [`Balancer`].
#[derive(Debug, Default)]
pub struct BalancerState {
    /// Of the loss weighting.
    pub loss: State,
    /// Of a Gram aggregator.
    pub gram: State,
    /// Of a gradient aggregator.
    pub gradients: TensorState,
}

impl Balancer {
    pub(crate) fn new(
        num_tasks: usize,
        loss: Box<dyn LossWeighting>,
        aggregator: Option<Aggregator>,
        private: PrivateGrad,
    ) -> Self {
        Self { num_tasks, loss, aggregator, private }
    }

    /// What the engine must compute.
    pub fn kind(&self) -> BalancerKind {
        match &self.aggregator {
            None => BalancerKind::Loss,
            Some(Aggregator::Gram(c)) if c.features().is_some() => BalancerKind::Features,
            Some(Aggregator::Gram(_)) => BalancerKind::Gram,
            Some(Aggregator::Gradients(_)) => BalancerKind::Gradients,
        }
    }

    /// What the task gradients of [`BalancerKind::Features`] are made of.
    pub fn features(&self) -> Option<FeatureGradients> {
        self.gram_aggregator().and_then(GramAggregator::features)
    }

    /// Extra batches of which [`Balancer::gradient_weights_by`] needs the task gradients' products.
    pub fn extra_batches(&self) -> usize {
        self.gram_aggregator().map_or(0, GramAggregator::extra_batches)
    }

    /// As [`LossWeighting::norms_over`].
    pub fn norms_over(&self) -> Option<NormsOver> {
        self.loss.norms_over()
    }

    /// As [`LossWeighting::primary`].
    pub fn primary(&self) -> Option<&[String]> {
        self.loss.primary()
    }

    fn gram_aggregator(&self) -> Option<&dyn GramAggregator> {
        match &self.aggregator {
            Some(Aggregator::Gram(aggregator)) => Some(aggregator.as_ref()),
            _ => None,
        }
    }

    /// Number of tasks of the run.
    pub fn num_tasks(&self) -> usize {
        self.num_tasks
    }

    /// Whether [`Balancer::after_step`] needs the losses of the same batch again.
    pub fn needs_new_losses(&self) -> bool {
        self.loss.needs_new_losses()
    }

    /// Longest shared gradient of a step with one backward pass.
    pub fn max_norm(&self) -> Option<f64> {
        let of_aggregator = self.gram_aggregator().and_then(GramAggregator::max_norm);
        [self.loss.max_norm(), of_aggregator].into_iter().flatten().reduce(f64::min)
    }

    /// Weights of the losses and the loss weighting's objective.
    ///
    /// # Errors
    /// As [`LossWeighting::weights`].
    pub fn loss_weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        info.of(self.num_tasks)?;
        self.loss.weights(info)
    }

    /// Weights of the losses in a step in which a Gram aggregator needs no Gram matrix.
    ///
    /// # Errors
    /// As [`LossWeighting::weights`].
    pub fn reuse(&self, info: &StepInfo) -> Result<Option<Vec<f64>>> {
        // One backward pass weights shared and private parameters alike.
        let (Some(Aggregator::Gram(aggregator)), PrivateGrad::Weighted) =
            (&self.aggregator, self.private)
        else {
            return Ok(None);
        };
        let weights = self.loss_weights(info)?.weights;
        Ok(aggregator.reuse(info).map(|last| product(&last, &weights)))
    }

    /// Factors of the task gradients whose inner products are `gram`.
    ///
    /// Those of [`BalancerKind::Features`] do not tell how long the shared gradient will be: it is
    /// the caller who shortens it to [`Balancer::max_norm`].
    ///
    /// # Errors
    /// As [`LossWeighting::weights`] and [`GramAggregator::weights`]; without a Gram aggregator.
    pub fn gradient_weights(&mut self, gram: &Gram, info: &StepInfo) -> Result<GradientWeights> {
        self.gradient_weights_by(gram, gram, info)
    }

    /// The same, found with `judge`, the products of task gradients of [`Balancer::extra_batches`].
    ///
    /// # Errors
    /// As [`Balancer::gradient_weights`].
    pub fn gradient_weights_by(
        &mut self,
        judge: &Gram,
        gram: &Gram,
        info: &StepInfo,
    ) -> Result<GradientWeights> {
        let (weights, info) = self.weighted(info)?;
        gram.of(&info)?;
        let max_norm = self.max_norm().filter(|_| self.kind() == BalancerKind::Gram);
        let Some(Aggregator::Gram(aggregator)) = &mut self.aggregator else {
            return Err(refused("gradient", "a balancer of kind gram", "another"));
        };
        let combined = product(&aggregator.weights(&judge.scaled(&weights), &info)?, &weights);
        let norm = gram.norm_of(&combined);
        let clip = max_norm.filter(|max| norm > *max).map_or(1.0, |max| max / norm);
        let shared = combined.iter().map(|w| w * clip).collect();
        let private = if self.private == PrivateGrad::Unit { weights } else { combined };
        Ok(GradientWeights { shared, private })
    }

    /// The shared direction of `gradients`, `[T, P]`, gradients of unweighted losses, which are scaled
    /// in place; and the factors of each task's own gradients.
    ///
    /// # Errors
    /// As [`LossWeighting::weights`] and [`GradientAggregator::direction`]; without a gradient
    /// aggregator.
    pub fn direction(
        &mut self,
        gradients: &mut Tensor,
        info: &StepInfo,
    ) -> Result<(Tensor, Vec<f64>)> {
        let (weights, info) = self.weighted(info)?;
        let max_norm = self.max_norm();
        let Some(Aggregator::Gradients(aggregator)) = &mut self.aggregator else {
            return Err(refused("gradient", "a balancer of kind rows", "another"));
        };
        crate::balancers::gradient::matrix::norms(gradients, &info)?;
        *gradients *= crate::balancers::gradient::matrix::column(gradients, &weights);
        let mut direction = aggregator.direction(gradients, &info)?;
        if let Some(max) = max_norm {
            let norm = direction.norm().double_value(&[]);
            direction *= if norm > max { max / norm } else { 1.0 };
        }
        Ok((direction, weights))
    }

    /// The loss weighting's weights, and the batch with weighted losses.
    fn weighted(&self, info: &StepInfo) -> Result<(Vec<f64>, StepInfo)> {
        let weights = self.loss_weights(info)?.weights;
        let losses = product(&weights, info.losses());
        Ok((weights, info.with_losses(&losses)?))
    }

    /// Moves what the loss weighting learns, after each optimiser step that was done.
    ///
    /// # Errors
    /// As [`LossWeighting::after_step`].
    pub fn after_step(&mut self, info: &StepInfo, new_losses: Option<&[f64]>) -> Result<()> {
        info.of(self.num_tasks)?;
        self.loss.after_step(info, new_losses)
    }

    /// What a checkpoint must hold.
    pub fn state(&self) -> BalancerState {
        let own = |state: Option<&State>| state.cloned().unwrap_or_default();
        let (gram, gradients) = match &self.aggregator {
            None => Default::default(),
            Some(Aggregator::Gram(aggregator)) => (own(aggregator.state()), TensorState::default()),
            Some(Aggregator::Gradients(aggregator)) => (State::default(), aggregator.state()),
        };
        BalancerState { loss: own(self.loss.state()), gram, gradients }
    }

    /// Takes back what [`Balancer::state`] gave, bit for bit.
    ///
    /// # Errors
    /// [`Error::State`]; then the balancer must not be used.
    pub fn restore(&mut self, state: &BalancerState) -> Result<()> {
        restore(self.loss.state_mut(), &state.loss)?;
        let (gram, gradients) = match &mut self.aggregator {
            None => (None, None),
            Some(Aggregator::Gram(aggregator)) => (aggregator.state_mut(), None),
            Some(Aggregator::Gradients(aggregator)) => (None, Some(aggregator)),
        };
        restore(gram, &state.gram)?;
        gradients.map_or_else(
            || state.gradients.only(&[]),
            |aggregator| aggregator.restore(&state.gradients),
        )
    }
}

/// Where nothing is remembered, nothing may be saved.
fn restore(own: Option<&mut State>, saved: &State) -> Result<()> {
    match own {
        Some(own) => own.restore(saved),
        None => State::default().restore(saved),
    }
}

fn product(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(a, b)| a * b).collect()
}

pub(crate) fn refused(key: &str, expected: &'static str, found: &str) -> Error {
    Error::Config { key: key.to_owned(), expected, found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::recipe::BalancerRecipe;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{
        agree, close, gram, info, j2, j3, numbers, rows2, rows3, tensor,
    };

    fn balancer(json: &str, tasks: usize) -> Result<Balancer> {
        serde_json::from_str::<BalancerRecipe>(json).unwrap().init(tasks)
    }

    #[test]
    fn the_aggregator_sees_weighted_gradients() {
        let json =
            r#"{"loss": {"name": "ew", "weights": [2, 0.5]}, "gradient": {"name": "pcgrad"}}"#;
        let weights =
            balancer(json, 2).unwrap().gradient_weights(&j2(), &info(&[1.0, 1.0])).unwrap();
        let weighted = rows2() * &ndarray::arr2(&[[2.0], [0.5]]);
        let expected = balancer(r#"{"gradient": {"name": "pcgrad"}}"#, 2)
            .unwrap()
            .gradient_weights(&gram(&weighted), &info(&[2.0, 0.5]))
            .unwrap();
        close(&weights.shared, &product(&expected.shared, &[2.0, 0.5]), 1e-12);
        assert_eq!(weights.private, [2.0, 0.5]);
    }

    #[test]
    fn lengths_are_limited_for_shared_parameters_alone() {
        let json = r#"{"gradient": {"name": "nash_mtl"}}"#;
        let found = balancer(json, 2).unwrap().gradient_weights(&j2(), &info(&[2.0, 0.5])).unwrap();
        agree(&found.shared, &[0.418226, 0.287843]);
        agree(&found.private, &[0.591461, 0.407071]);
        agree(
            &crate::balancers::testing::direction(&rows2(), &found.shared),
            &[0.054153, 0.706069, 0.706069],
        );
        let found = balancer(json, 3).unwrap().gradient_weights(&j3(), &info(&[1.0; 3])).unwrap();
        agree(&found.shared, &[0.581662, 0.655904, 0.310234]);
        let unit = r#"{"gradient": {"name": "nash_mtl"}, "private_grad": "unit"}"#;
        let found = balancer(unit, 2).unwrap().gradient_weights(&j2(), &info(&[2.0, 0.5])).unwrap();
        assert_eq!(found.private, [1.0, 1.0]);
        let famo = balancer(r#"{"loss": {"name": "famo"}}"#, 2).unwrap();
        assert_eq!((famo.max_norm(), famo.needs_new_losses()), (Some(1.0), true));
    }

    #[test]
    fn weights_are_reused_where_one_pass_can_tell() {
        let json = |private| {
            let every = r#"{"name": "nash_mtl", "update_weights_every": 2}"#;
            format!(r#"{{"gradient": {every}, "private_grad": "{private}"}}"#)
        };
        let at = |step| StepInfo::full(&[2.0, 0.5], StepSeed { seed: 0, step }).unwrap();
        let mut weighted = balancer(&json("weighted"), 2).unwrap();
        weighted.gradient_weights(&j2(), &at(0)).unwrap();
        agree(&weighted.reuse(&at(1)).unwrap().unwrap(), &[0.591461, 0.407071]);
        assert_eq!(weighted.reuse(&at(2)).unwrap(), None);
        let mut unit = balancer(&json("unit"), 2).unwrap();
        unit.gradient_weights(&j2(), &at(0)).unwrap();
        assert_eq!(unit.reuse(&at(1)).unwrap(), None);
    }

    /// MGDA of other task gradients than those that are combined, whose own length is limited.
    #[test]
    fn extra_batches_decide_about_the_gradients_of_the_step() {
        let json = r#"{"loss": {"name": "famo"}, "gradient": {"name": "sdmgrad", "lambda": 0}}"#;
        let mut balancer = balancer(json, 2).unwrap();
        assert_eq!(balancer.extra_batches(), 2);
        let equal = info(&[1.0, 1.0]);
        let own = gram(&ndarray::arr2(&[[30.0, 0.0], [0.0, 40.0]]));
        let found = balancer.gradient_weights_by(&j2(), &own, &equal).unwrap();
        agree(&[found.shared[0] / found.shared[1]], &[1.5]);
        assert!((own.norm_of(&found.shared) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_length_of_features_limits_nothing() {
        let json = r#"{"loss": {"name": "famo"}, "gradient": {"name": "mgda_ub"}}"#;
        let mut balancer = balancer(json, 2).unwrap();
        let rows = gram(&ndarray::arr2(&[[30.0, 0.0], [0.0, 30.0]]));
        let found = balancer.gradient_weights(&rows, &info(&[1.0, 1.0])).unwrap();
        assert_eq!((balancer.kind(), balancer.max_norm()), (BalancerKind::Features, Some(1.0)));
        agree(&found.shared, &[0.25, 0.25]);
    }

    #[test]
    fn gradients_are_weighted_before_they_are_aggregated() {
        let json = r#"{"loss": {"name": "ew", "weights": [1, 2, 3]}, "gradient": {"name": "graddrop", "leak": 1}}"#;
        let mut rows = tensor(&rows3());
        let info = info(&[1.0; 3]);
        let (d, private) = balancer(json, 3).unwrap().direction(&mut rows, &info).unwrap();
        let expected = rows3().t().dot(&ndarray::arr1(&[1.0, 2.0, 3.0]));
        close(&numbers(&d), &expected.to_vec(), 1e-12);
        assert_eq!(private, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn misfits_are_named() {
        let message = |json: &str| balancer(json, 2).unwrap_err().to_string();
        let found = message(r#"{"loss": {"name": "pcgrad"}}"#);
        assert_eq!(found, "loss: expected a balancer of kind loss, found pcgrad");
        let found = message(r#"{"gradient": {"name": "uw"}}"#);
        assert_eq!(found, "gradient: expected a balancer of kind gram or rows, found uw");
        let found = message(r#"{"private_grad": "unit"}"#);
        assert_eq!(found, "private_grad: expected none without a gradient aggregator, found one");
        let found = message(r#"{"gradient": {"name": "moco"}, "private_grad": "weighted"}"#);
        assert_eq!(
            found,
            "private_grad: expected unit, as aggregators of kind rows have no weights, found weighted"
        );
        let mut plain = balancer("{}", 2).unwrap();
        let found = plain.gradient_weights(&j2(), &info(&[1.0; 2])).unwrap_err().to_string();
        assert_eq!(found, "gradient: expected a balancer of kind gram, found another");
        let found = plain.loss_weights(&info(&[1.0; 3])).unwrap_err().to_string();
        assert_eq!(found, "tasks: expected ascending, distinct indices below 2, found [0, 1, 2]");
    }
}
