//! One loss balancer and at most one gradient combiner, joined.

use polyptych_tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::balancers::ew::Ew;
use crate::balancers::{
    Balancer, BalancerConfig, BalancerKind, Batch, FeatureRows, Gram, GramCombiner, LossBalancer,
    NormsOver, RowCombiner, RowState, State, Weighing,
};
use crate::{Error, Result};

/// How losses are weighed and gradients combined: IMTL is `loss = imtl_l`, `gradient = imtl_g`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancingConfig {
    /// A balancer of kind `loss`; `ew` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<BalancerConfig>,
    /// A balancer of kind `gram` or `rows`; a plain sum of weighed losses when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient: Option<BalancerConfig>,
    /// How the combiner weighs a task's own parameters; what the listing says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_grad: Option<PrivateGrad>,
}

/// How a gradient combiner weighs parameters that one task alone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivateGrad {
    /// The gradient of the task's weighed loss.
    Unit,
    /// That, times the combiner's weight of the task.
    Weighted,
}

impl BalancingConfig {
    /// Checks everything and makes the balancing of `num_tasks` tasks.
    ///
    /// # Errors
    /// Names the field, what it must be and what it is.
    pub fn init(&self, num_tasks: usize) -> Result<Balancing> {
        let loss = self.loss.clone().unwrap_or(BalancerConfig::Ew(Ew::default()));
        let Balancer::Loss(balancer) = loss.init(num_tasks)? else {
            return Err(refused("loss", "a balancer of kind loss", loss.name()));
        };
        let combiner =
            self.gradient.as_ref().map(|config| combiner(config, num_tasks)).transpose()?;
        Ok(Balancing { num_tasks, loss: balancer, private: self.private(&combiner)?, combiner })
    }

    fn private(&self, combiner: &Option<Combiner>) -> Result<PrivateGrad> {
        let key = "private_grad";
        match (combiner, self.private_grad) {
            (None, Some(_)) => Err(refused(key, "none without a gradient combiner", "one")),
            (Some(Combiner::Rows(_)), Some(PrivateGrad::Weighted)) => {
                Err(refused(key, "unit, as row combiners have no weights", "weighted"))
            }
            (_, Some(asked)) => Ok(asked),
            (_, None) => {
                Ok(self.gradient.as_ref().map_or(PrivateGrad::Unit, |g| g.info().private_grad))
            }
        }
    }
}

fn combiner(config: &BalancerConfig, num_tasks: usize) -> Result<Combiner> {
    match config.init(num_tasks)? {
        Balancer::Gram(combiner) => Ok(Combiner::Gram(combiner)),
        Balancer::Rows(combiner) => Ok(Combiner::Rows(combiner)),
        Balancer::Loss(_) => {
            Err(refused("gradient", "a balancer of kind gram or rows", config.name()))
        }
    }
}

/// Weighs losses and combines gradients, step by step.
///
/// In each step: [`Balancing::reuse`]; where that gives weights, or [`Balancing::kind`] is `Loss`
/// and [`Balancing::loss_weights`] does, back-propagate `sum_i weights_i L_i` once and shorten the
/// shared gradient to [`Balancing::max_norm`]. Otherwise collect one row of gradients of the
/// unweighed losses for each task, over all micro-batches, unscaled and averaged over ranks, and
/// call [`Balancing::row_weights`] or [`Balancing::direction`]. Then clip, step the optimiser, and
/// call [`Balancing::after_step`]. [`Error::NonFinite`] at any point asks to skip the step.
#[derive(Debug)]
pub struct Balancing {
    num_tasks: usize,
    loss: Box<dyn LossBalancer>,
    combiner: Option<Combiner>,
    private: PrivateGrad,
}

#[derive(Debug)]
enum Combiner {
    Gram(Box<dyn GramCombiner>),
    Rows(Box<dyn RowCombiner>),
}

/// Factors of the gradients of unweighed losses, one for each task of the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct RowWeights {
    /// For the shared parameters; their sum is already no longer than the method allows.
    pub shared: Vec<f64>,
    /// For each task's own parameters.
    pub private: Vec<f64>,
}

/// What a checkpoint must hold of a [`Balancing`].
#[derive(Debug, Default)]
pub struct BalancingState {
    /// Of the loss balancer.
    pub loss: State,
    /// Of a Gram combiner.
    pub gram: State,
    /// Of a row combiner.
    pub rows: RowState,
}

impl Balancing {
    /// What the engine must compute.
    pub fn kind(&self) -> BalancerKind {
        match &self.combiner {
            None => BalancerKind::Loss,
            Some(Combiner::Gram(c)) if c.features().is_some() => BalancerKind::Features,
            Some(Combiner::Gram(_)) => BalancerKind::Gram,
            Some(Combiner::Rows(_)) => BalancerKind::Rows,
        }
    }

    /// What the rows of [`BalancerKind::Features`] are made of.
    pub fn features(&self) -> Option<FeatureRows> {
        self.gram_combiner().and_then(GramCombiner::features)
    }

    /// Further batches of which [`Balancing::row_weights_by`] needs the rows' products.
    pub fn further_batches(&self) -> usize {
        self.gram_combiner().map_or(0, GramCombiner::further_batches)
    }

    /// As [`LossBalancer::norms_over`].
    pub fn norms_over(&self) -> Option<NormsOver> {
        self.loss.norms_over()
    }

    /// As [`LossBalancer::primary`].
    pub fn primary(&self) -> Option<&[String]> {
        self.loss.primary()
    }

    fn gram_combiner(&self) -> Option<&dyn GramCombiner> {
        match &self.combiner {
            Some(Combiner::Gram(combiner)) => Some(combiner.as_ref()),
            _ => None,
        }
    }

    /// Number of tasks of the run.
    pub fn num_tasks(&self) -> usize {
        self.num_tasks
    }

    /// Whether [`Balancing::after_step`] needs the losses of the same batch again.
    pub fn needs_new_losses(&self) -> bool {
        self.loss.needs_new_losses()
    }

    /// Longest shared gradient of a step with one backward pass.
    pub fn max_norm(&self) -> Option<f64> {
        let of_combiner = self.gram_combiner().and_then(GramCombiner::max_norm);
        [self.loss.max_norm(), of_combiner].into_iter().flatten().reduce(f64::min)
    }

    /// Weights of the losses and the loss balancer's objective.
    ///
    /// # Errors
    /// As [`LossBalancer::weights`].
    pub fn loss_weights(&self, batch: &Batch) -> Result<Weighing> {
        batch.of(self.num_tasks)?;
        self.loss.weights(batch)
    }

    /// Weights of the losses in a step in which a Gram combiner needs no Gram matrix.
    ///
    /// # Errors
    /// As [`LossBalancer::weights`].
    pub fn reuse(&self, batch: &Batch) -> Result<Option<Vec<f64>>> {
        // One backward pass weighs shared and private parameters alike.
        let (Some(Combiner::Gram(combiner)), PrivateGrad::Weighted) =
            (&self.combiner, self.private)
        else {
            return Ok(None);
        };
        let weights = self.loss_weights(batch)?.weights;
        Ok(combiner.reuse(batch).map(|last| product(&last, &weights)))
    }

    /// Factors of the rows whose inner products are `gram`.
    ///
    /// Those of [`BalancerKind::Features`] do not tell how long the shared gradient will be: it is
    /// the caller who shortens it to [`Balancing::max_norm`].
    ///
    /// # Errors
    /// As [`LossBalancer::weights`] and [`GramCombiner::weights`]; without a Gram combiner.
    pub fn row_weights(&mut self, gram: &Gram, batch: &Batch) -> Result<RowWeights> {
        self.row_weights_by(gram, gram, batch)
    }

    /// The same, found with `judge`, the products of rows of [`Balancing::further_batches`].
    ///
    /// # Errors
    /// As [`Balancing::row_weights`].
    pub fn row_weights_by(
        &mut self,
        judge: &Gram,
        gram: &Gram,
        batch: &Batch,
    ) -> Result<RowWeights> {
        let (weights, batch) = self.weighed(batch)?;
        gram.of(&batch)?;
        let max_norm = self.max_norm().filter(|_| self.kind() == BalancerKind::Gram);
        let Some(Combiner::Gram(combiner)) = &mut self.combiner else {
            return Err(refused("gradient", "a balancer of kind gram", "another"));
        };
        let combined = product(&combiner.weights(&judge.scaled(&weights), &batch)?, &weights);
        let norm = gram.norm_of(&combined);
        let clip = max_norm.filter(|max| norm > *max).map_or(1.0, |max| max / norm);
        let shared = combined.iter().map(|w| w * clip).collect();
        let private = if self.private == PrivateGrad::Unit { weights } else { combined };
        Ok(RowWeights { shared, private })
    }

    /// The shared direction of `rows`, `[T, P]`, gradients of unweighed losses, which are scaled in
    /// place; and the factors of each task's own gradients.
    ///
    /// # Errors
    /// As [`LossBalancer::weights`] and [`RowCombiner::direction`]; without a row combiner.
    pub fn direction(&mut self, rows: &mut Tensor, batch: &Batch) -> Result<(Tensor, Vec<f64>)> {
        let (weights, batch) = self.weighed(batch)?;
        let max_norm = self.max_norm();
        let Some(Combiner::Rows(combiner)) = &mut self.combiner else {
            return Err(refused("gradient", "a balancer of kind rows", "another"));
        };
        crate::balancers::rows::norms(rows, &batch)?;
        *rows *= crate::balancers::rows::column(rows, &weights);
        let mut direction = combiner.direction(rows, &batch)?;
        if let Some(max) = max_norm {
            let norm = direction.norm().double_value(&[]);
            direction *= if norm > max { max / norm } else { 1.0 };
        }
        Ok((direction, weights))
    }

    /// The loss balancer's weights, and the batch with weighed losses.
    fn weighed(&self, batch: &Batch) -> Result<(Vec<f64>, Batch)> {
        let weights = self.loss_weights(batch)?.weights;
        let losses = product(&weights, batch.losses());
        Ok((weights, batch.with_losses(&losses)?))
    }

    /// Moves what the loss balancer learns, after each optimiser step that was done.
    ///
    /// # Errors
    /// As [`LossBalancer::after_step`].
    pub fn after_step(&mut self, batch: &Batch, new_losses: Option<&[f64]>) -> Result<()> {
        batch.of(self.num_tasks)?;
        self.loss.after_step(batch, new_losses)
    }

    /// What a checkpoint must hold.
    pub fn state(&self) -> BalancingState {
        let loss = self.loss.state();
        match &self.combiner {
            None => BalancingState { loss, ..BalancingState::default() },
            Some(Combiner::Gram(c)) => {
                BalancingState { loss, gram: c.state(), ..Default::default() }
            }
            Some(Combiner::Rows(c)) => {
                BalancingState { loss, rows: c.state(), ..Default::default() }
            }
        }
    }

    /// Takes back what [`Balancing::state`] gave, bit for bit.
    ///
    /// # Errors
    /// [`Error::State`]; then the balancing must not be used.
    pub fn restore(&mut self, state: &BalancingState) -> Result<()> {
        self.loss.restore(&state.loss)?;
        match &mut self.combiner {
            Some(Combiner::Gram(combiner)) => combiner.restore(&state.gram)?,
            _ => State::default().restore(&state.gram)?,
        }
        match &mut self.combiner {
            Some(Combiner::Rows(combiner)) => combiner.restore(&state.rows),
            _ => state.rows.only(&[]),
        }
    }
}

fn product(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(a, b)| a * b).collect()
}

fn refused(key: &str, expected: &'static str, found: &str) -> Error {
    Error::Config { key: key.to_owned(), expected, found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::Key;
    use crate::balancers::testing::{
        agree, batch, close, gram, j2, j3, numbers, rows2, rows3, tensor,
    };

    fn balancing(json: &str, tasks: usize) -> Result<Balancing> {
        serde_json::from_str::<BalancingConfig>(json).unwrap().init(tasks)
    }

    #[test]
    fn imtl_scales_losses_and_then_combines() {
        let json = r#"{"loss": {"name": "imtl_l", "lr": 0.1}, "gradient": {"name": "imtl_g"}}"#;
        let mut imtl = balancing(json, 3).unwrap();
        let batch = batch(&[2.0, 0.5, 1.0]);
        agree(&imtl.row_weights(&j3(), &batch).unwrap().shared, &[0.346570, 0.442979, 0.210451]);
        imtl.after_step(&batch, None).unwrap();
        let scales = imtl.loss_weights(&batch).unwrap().weights;
        close(&scales[..2], &[(-0.1f64).exp(), 0.1f64.exp()], 1e-7);
        // The projections of d on all rows are equal, whatever the scales.
        let found = imtl.row_weights(&j3(), &batch).unwrap();
        let products = j3().matrix().dot(&ndarray::arr1(&found.shared)) / j3().norms();
        close(&products.to_vec(), &[products[0]; 3], 1e-9);
        // By the weighed rows the weights sum to 1.
        let sum: f64 = found.shared.iter().zip(&scales).map(|(w, s)| w / s).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert_eq!(found.private, found.shared);
    }

    #[test]
    fn the_combiner_sees_weighed_rows() {
        let json =
            r#"{"loss": {"name": "ew", "weights": [2, 0.5]}, "gradient": {"name": "pcgrad"}}"#;
        let weights = balancing(json, 2).unwrap().row_weights(&j2(), &batch(&[1.0, 1.0])).unwrap();
        let weighed = rows2() * &ndarray::arr2(&[[2.0], [0.5]]);
        let expected = balancing(r#"{"gradient": {"name": "pcgrad"}}"#, 2)
            .unwrap()
            .row_weights(&gram(&weighed), &batch(&[2.0, 0.5]))
            .unwrap();
        close(&weights.shared, &product(&expected.shared, &[2.0, 0.5]), 1e-12);
        assert_eq!(weights.private, [2.0, 0.5]);
    }

    #[test]
    fn lengths_are_limited_for_shared_parameters_alone() {
        let json = r#"{"gradient": {"name": "nash_mtl"}}"#;
        let found = balancing(json, 2).unwrap().row_weights(&j2(), &batch(&[2.0, 0.5])).unwrap();
        agree(&found.shared, &[0.418226, 0.287843]);
        agree(&found.private, &[0.591461, 0.407071]);
        agree(
            &crate::balancers::testing::direction(&rows2(), &found.shared),
            &[0.054153, 0.706069, 0.706069],
        );
        let found = balancing(json, 3).unwrap().row_weights(&j3(), &batch(&[1.0; 3])).unwrap();
        agree(&found.shared, &[0.581662, 0.655904, 0.310234]);
        let unit = r#"{"gradient": {"name": "nash_mtl"}, "private_grad": "unit"}"#;
        let found = balancing(unit, 2).unwrap().row_weights(&j2(), &batch(&[2.0, 0.5])).unwrap();
        assert_eq!(found.private, [1.0, 1.0]);
        let famo = balancing(r#"{"loss": {"name": "famo"}}"#, 2).unwrap();
        assert_eq!((famo.max_norm(), famo.needs_new_losses()), (Some(1.0), true));
    }

    #[test]
    fn weights_are_reused_where_one_pass_can_tell() {
        let json = |private| {
            let every = r#"{"name": "nash_mtl", "update_weights_every": 2}"#;
            format!(r#"{{"gradient": {every}, "private_grad": "{private}"}}"#)
        };
        let at = |step| Batch::full(&[2.0, 0.5], Key { seed: 0, step }).unwrap();
        let mut weighted = balancing(&json("weighted"), 2).unwrap();
        weighted.row_weights(&j2(), &at(0)).unwrap();
        agree(&weighted.reuse(&at(1)).unwrap().unwrap(), &[0.591461, 0.407071]);
        assert_eq!(weighted.reuse(&at(2)).unwrap(), None);
        let mut unit = balancing(&json("unit"), 2).unwrap();
        unit.row_weights(&j2(), &at(0)).unwrap();
        assert_eq!(unit.reuse(&at(1)).unwrap(), None);
    }

    /// MGDA of other rows than those that are combined, whose own length is limited.
    #[test]
    fn further_batches_decide_about_the_rows_of_the_step() {
        let json = r#"{"loss": {"name": "famo"}, "gradient": {"name": "sdmgrad", "lambda": 0}}"#;
        let mut balancing = balancing(json, 2).unwrap();
        assert_eq!(balancing.further_batches(), 2);
        let equal = batch(&[1.0, 1.0]);
        let own = gram(&ndarray::arr2(&[[30.0, 0.0], [0.0, 40.0]]));
        let found = balancing.row_weights_by(&j2(), &own, &equal).unwrap();
        agree(&[found.shared[0] / found.shared[1]], &[1.5]);
        assert!((own.norm_of(&found.shared) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_length_of_features_limits_nothing() {
        let json = r#"{"loss": {"name": "famo"}, "gradient": {"name": "mgda_ub"}}"#;
        let mut balancing = balancing(json, 2).unwrap();
        let rows = gram(&ndarray::arr2(&[[30.0, 0.0], [0.0, 30.0]]));
        let found = balancing.row_weights(&rows, &batch(&[1.0, 1.0])).unwrap();
        assert_eq!((balancing.kind(), balancing.max_norm()), (BalancerKind::Features, Some(1.0)));
        agree(&found.shared, &[0.25, 0.25]);
    }

    #[test]
    fn rows_are_weighed_before_they_are_combined() {
        let json = r#"{"loss": {"name": "ew", "weights": [1, 2, 3]}, "gradient": {"name": "graddrop", "leak": 1}}"#;
        let mut rows = tensor(&rows3());
        let batch = batch(&[1.0; 3]);
        let (d, private) = balancing(json, 3).unwrap().direction(&mut rows, &batch).unwrap();
        let expected = rows3().t().dot(&ndarray::arr1(&[1.0, 2.0, 3.0]));
        close(&numbers(&d), &expected.to_vec(), 1e-12);
        assert_eq!(private, [1.0, 2.0, 3.0]);
    }

    #[test]
    fn misfits_are_named() {
        let message = |json: &str| balancing(json, 2).unwrap_err().to_string();
        let found = message(r#"{"loss": {"name": "pcgrad"}}"#);
        assert_eq!(found, "loss: expected a balancer of kind loss, found pcgrad");
        let found = message(r#"{"gradient": {"name": "uw"}}"#);
        assert_eq!(found, "gradient: expected a balancer of kind gram or rows, found uw");
        let found = message(r#"{"private_grad": "unit"}"#);
        assert_eq!(found, "private_grad: expected none without a gradient combiner, found one");
        let found = message(r#"{"gradient": {"name": "moco"}, "private_grad": "weighted"}"#);
        assert_eq!(
            found,
            "private_grad: expected unit, as row combiners have no weights, found weighted"
        );
        let mut plain = balancing("{}", 2).unwrap();
        let found = plain.row_weights(&j2(), &batch(&[1.0; 2])).unwrap_err().to_string();
        assert_eq!(found, "gradient: expected a balancer of kind gram, found another");
        let found = plain.loss_weights(&batch(&[1.0; 3])).unwrap_err().to_string();
        assert_eq!(found, "tasks: expected ascending, distinct indices below 2, found [0, 1, 2]");
    }
}
