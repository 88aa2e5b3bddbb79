//! Rank shrinking: which rank-1 components of a pair of factors are still in use (PDRS of FAAR, CVPR
//! 2026, arXiv 2603.20403).
//!
//! ```text
//! step     b ~ U{1 .. cap}: the first b components are used, one draw for every call
//!          s_i <- beta s_i + (1 - beta) (|<A_i, dL/dA_i>| + |<B_i, dL/dB_i>|) / 2
//! shrink   sort by s;  K = the least k with sum_{i <= k} s_i >= rho sum s
//!          cap <- max(floor, min(cap, K + margin)); what lies behind is 0 for good
//! ```
//!
//! Components stay where they are and `order` says which comes first, so that an optimiser's moments
//! need not move. `order`, `s` and `cap` are buffers: a checkpoint has them.

use std::cell::Cell;

use polyptych_tensor::{Init, Kind, Result, Scope, Tensor, no_grad};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::low_rank::LowRank;
use crate::error::{self, config};

/// When and how far ranks shrink.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RankShrinking {
    /// What share of the sum of scores the components that stay must have; 1 drops only those that
    /// score nothing.
    pub rho: f64,
    /// Decay rate of the scores.
    pub beta: f64,
    /// Components that stay beside those.
    pub margin: i64,
    /// Components that stay in any case.
    pub floor: i64,
    /// How often ranks shrink in a run, at even distances; as published it is once per epoch.
    pub shrinks: u64,
}

impl Default for RankShrinking {
    fn default() -> Self {
        Self { rho: 0.95, beta: 0.98, margin: 1, floor: 2, shrinks: 50 }
    }
}

impl RankShrinking {
    /// Checks every field against the rank `r`.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub(crate) fn validate(&self, r: i64) -> error::Result<()> {
        if !(self.rho > 0.0 && self.rho <= 1.0) {
            return Err(config("rank_shrinking.rho", "above 0 and at most 1", self.rho));
        }
        if !(self.beta >= 0.0 && self.beta < 1.0) {
            return Err(config("rank_shrinking.beta", "at least 0 and below 1", self.beta));
        }
        if self.margin < 0 {
            return Err(config("rank_shrinking.margin", "at least 0", self.margin));
        }
        if self.floor < 1 || self.floor > r {
            let expected = format!("from 1 to r, {r}");
            return Err(config("rank_shrinking.floor", expected, self.floor));
        }
        match self.shrinks {
            0 => Err(config("rank_shrinking.shrinks", "at least 1", 0)),
            _ => Ok(()),
        }
    }

    /// How often ranks have shrunk once `step` of `steps` are done.
    pub(crate) fn due(&self, step: u64, steps: u64) -> u64 {
        (step as u128 * u128::from(self.shrinks) / u128::from(steps.max(1))) as u64
    }

    /// How many components stay of those that score `sorted`, largest first; of `cap` in use.
    fn kept(&self, sorted: &[f64], cap: i64) -> i64 {
        let total: f64 = sorted.iter().sum();
        let mut sum = 0.0;
        let share = sorted.iter().position(|score| {
            sum += score;
            sum >= self.rho * total
        });
        let least = share.map_or(cap, |index| index as i64 + 1);
        (least + self.margin).min(cap).max(self.floor)
    }
}

/// What is known of the components of one pair of factors.
#[derive(Debug)]
pub(crate) struct Slots {
    /// `s`, `[r]`.
    score: Tensor,
    /// Position of every component in the order of scores, `[r]`.
    order: Tensor,
    /// `cap`, and how often it has shrunk, `[2]`.
    cap: Tensor,
    /// How often it should have shrunk when it was asked last, since a device is waited for where
    /// `cap` is read.
    asked: Cell<Option<u64>>,
}

impl Slots {
    /// Makes the buffers `<prefix>_score`, `<prefix>_order` and `<prefix>_cap` for the rank `r`.
    pub(crate) fn new(scope: &Scope, prefix: &str, r: i64) -> Result<Self> {
        let buffer = |name: &str, shape: &[i64]| {
            scope.buffer(format!("{prefix}_{name}"), shape, Init::ZEROS)
        };
        let slots = Self {
            score: buffer("score", &[r])?,
            order: buffer("order", &[r])?,
            cap: buffer("cap", &[2])?,
            asked: Cell::new(None),
        };
        no_grad(|| {
            let order = Tensor::arange(r, (Kind::Float, slots.order.device()));
            slots.order.shallow_clone().copy_(&order);
            let _ = slots.cap.get(0).fill_(r as f64);
        });
        Ok(slots)
    }

    /// The buffers of `take`, which returns one by its name.
    pub(crate) fn taken(mut take: impl FnMut(&str) -> Result<Tensor>) -> Result<Self> {
        let (score, order, cap) = (take("score")?, take("order")?, take("cap")?);
        Ok(Self { score, order, cap, asked: Cell::new(None) })
    }

    /// `factors` with what is not in use at 0: in training behind a component that is drawn.
    pub(crate) fn in_use(&self, factors: &LowRank, train: bool) -> LowRank {
        let mask = no_grad(|| self.mask(train)).to_kind(factors.a.kind());
        LowRank { a: &factors.a * mask.unsqueeze(1), b: factors.b.shallow_clone() }
    }

    /// 1 for the components in use, `[r]`.
    fn mask(&self, train: bool) -> Tensor {
        let cap = self.cap.narrow(0, 0, 1);
        match train {
            false => self.order.lt_tensor(&cap),
            // From 1 to cap.
            true => self.order.le_tensor(&(cap.rand_like() * &cap).floor().minimum(&(&cap - 1.0))),
        }
    }

    /// Lets the gradients of `factors` count.
    pub(crate) fn note(&self, factors: &LowRank, beta: f64) {
        let (da, db) = (factors.a.grad(), factors.b.grad());
        if !(da.defined() && db.defined()) {
            return;
        }
        no_grad(|| {
            let sum = |t: Tensor, axis: i64| {
                t.sum_dim_intlist([axis].as_slice(), false, None::<Kind>).abs()
            };
            let now = (sum(&factors.a * da, 1) + sum(&factors.b * db, 0)) * 0.5;
            let score = &self.score * beta + now * (1.0 - beta);
            self.score.shallow_clone().copy_(&score);
        });
    }

    /// Shrinks where that is due: `due` counts how often it should have been so far. What was missed
    /// is not caught up with, since nothing new is known.
    pub(crate) fn shrink_to(&self, options: &RankShrinking, due: u64) {
        if self.asked.replace(Some(due)) == Some(due) {
            return;
        }
        no_grad(|| {
            let done = self.cap.double_value(&[1]);
            if due as f64 > done {
                self.shrink(options);
                let _ = self.cap.get(1).fill_(due as f64);
            }
        });
    }

    fn shrink(&self, options: &RankShrinking) {
        let cap = self.rank();
        // What is out of use stays behind all others, whatever their scores.
        let used = self.order.lt(cap as f64);
        let rated = self.score.where_self(&used, &(&self.order * -1.0 - 1.0));
        let (sorted, places) = rated.sort(0, true);
        let sorted = Vec::<f64>::try_from(sorted.narrow(0, 0, cap).to_kind(Kind::Double));
        let sorted = sorted.unwrap_or_default();
        if sorted.iter().sum::<f64>() <= 0.0 {
            return;
        }
        let ranks = Tensor::arange(self.order.size()[0], (Kind::Float, self.order.device()));
        self.order.shallow_clone().copy_(&self.order.zeros_like().scatter(0, &places, &ranks));
        let kept = options.kept(&sorted, cap);
        let _ = self.cap.get(0).fill_(kept as f64);
        let used = self.order.lt(kept as f64).to_kind(self.score.kind());
        self.score.shallow_clone().copy_(&(&self.score * used));
    }

    /// `cap`.
    pub(crate) fn rank(&self) -> i64 {
        no_grad(|| self.cap.double_value(&[0])) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store, manual_seed};

    fn slots(scores: &[f64]) -> Slots {
        let store = Store::new(Device::Cpu);
        let slots = Slots::new(&store.root(), "slot", scores.len() as i64).unwrap();
        slots.score.shallow_clone().copy_(&Tensor::from_slice(scores));
        slots
    }

    fn numbers(t: &Tensor) -> Vec<f64> {
        Vec::<f64>::try_from(t.detach().to_kind(Kind::Double)).unwrap()
    }

    #[test]
    fn what_stays_has_its_share_of_the_scores() {
        for (rho, margin, floor, expected) in [
            (0.9, 0, 1, 3),
            (0.95, 0, 1, 4),
            (0.9, 1, 1, 4),
            (0.95, 1, 1, 5),
            (0.2, 0, 1, 1),
            (0.2, 1, 2, 2),
            (1.0, 0, 1, 5),
        ] {
            let options = RankShrinking { rho, margin, floor, ..RankShrinking::default() };
            let slots = slots(&[0.5, 3.0, 5.0, 0.5, 1.0]);
            slots.shrink_to(&options, 1);
            assert_eq!(slots.rank(), expected, "{rho}, {margin}, {floor}");
            assert_eq!(numbers(&slots.order)[..3], [numbers(&slots.order)[0], 1.0, 0.0]);
            assert_eq!(numbers(&slots.cap)[1], 1.0);
            slots.shrink_to(&options, 1);
            assert_eq!(slots.rank(), expected, "the same shrink again");
        }
    }

    #[test]
    fn scores_are_products_of_numbers_and_gradients() {
        let of = |numbers: [f64; 4]| Tensor::from_slice(&numbers).view([2, 2]);
        let factors = LowRank {
            a: of([1.0, 2.0, 0.0, 1.0]).set_requires_grad(true),
            b: of([1.0, -1.0, 2.0, 0.5]).set_requires_grad(true),
        };
        let (da, db) = (of([0.1, -0.2, 0.3, 0.5]), of([0.2, 0.0, 0.1, 0.4]));
        ((&factors.a * da).sum(Kind::Double) + (&factors.b * db).sum(Kind::Double)).backward();
        let slots = slots(&[0.0, 0.0]);
        slots.note(&factors, 0.0);
        for score in numbers(&slots.score) {
            assert!((score - 0.35).abs() < 1e-6);
        }
        slots.note(&factors, 0.5);
        assert!((numbers(&slots.score)[0] - 0.35).abs() < 1e-6);
    }

    /// What was dropped is 0 in every pass, gets no gradient, and never comes back.
    #[test]
    fn what_was_dropped_is_gone() {
        manual_seed(0);
        let options = RankShrinking { rho: 0.5, margin: 0, floor: 1, ..RankShrinking::default() };
        let slots = slots(&[0.1, 4.0, 3.9, 0.2]);
        slots.shrink_to(&options, 1);
        assert_eq!(slots.rank(), 2);
        let draw = |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let factors = LowRank { a: draw([4, 3]).set_requires_grad(true), b: draw([5, 4]) };
        let mut seen = [0, 0];
        for _ in 0..50 {
            let used = slots.in_use(&factors, true);
            let rows =
                numbers(&used.a.abs().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>));
            assert!(rows[0] == 0.0 && rows[3] == 0.0 && rows[1] > 0.0);
            seen[usize::from(rows[2] > 0.0)] += 1;
        }
        assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
        slots.in_use(&factors, false).a.sum(Kind::Float).backward();
        let rows = factors.a.grad().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        assert_eq!(numbers(&rows), [0.0, 3.0, 3.0, 0.0]);
        slots.score.shallow_clone().copy_(&Tensor::from_slice(&[9.0f32, 0.0, 1.0, 9.0]));
        slots.shrink_to(&options, 2);
        assert_eq!((slots.rank(), numbers(&slots.order)[2]), (1, 0.0));
    }

    #[test]
    fn ranks_shrink_at_even_distances() {
        let options = RankShrinking { shrinks: 4, ..RankShrinking::default() };
        let due: Vec<u64> = (0..=8).map(|step| options.due(step, 8)).collect();
        assert_eq!(due, [0, 0, 1, 1, 2, 2, 3, 3, 4]);
    }
}
