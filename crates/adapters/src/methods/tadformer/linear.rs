//! The adapted linear layers: factors for all, and filters between them on the way of tasks.

use polyptych_kernels::linear;
use polyptych_tensor::{Activations, Linear, Projection, Tensor, cast, dropout};

use super::filter::Filter;
use crate::blocks::low_rank::LowRank;

/// `W x + b + s B A x` for the shared stream, and `W x + b + s B filter(A x_t)` for each of tasks, where
/// they come with one of their own.
#[derive(Debug)]
pub(super) struct TadLinear {
    pub(super) base: Linear,
    pub(super) factors: LowRank,
    pub(super) scale: f64,
    pub(super) dropout: f64,
    pub(super) filter: Option<Filter>,
}

impl Projection for TadLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        match (x, &self.filter) {
            (Activations::Both { shared, per_task }, Some(filter)) => {
                let product = self.base.forward(shared);
                let low = self.factors.forward(&dropout(shared, self.dropout, train));
                let per_task = self.of_tasks(filter, per_task, train) + &product;
                Activations::Both { shared: product + low * self.scale, per_task }
            }
            _ => {
                let dropout = if train { self.dropout } else { 0.0 };
                x.map(|t| self.factors.beside(&self.base, t, self.scale, dropout))
            }
        }
    }
}

impl TadLinear {
    /// `s B filter(A x)` for `x`: `[tasks, batch, rows, columns, in]`.
    fn of_tasks(&self, filter: &Filter, x: &Tensor, train: bool) -> Tensor {
        let (a, b) = (cast(&self.factors.a, x.kind()), cast(&self.factors.b, x.kind()));
        let low = linear(&dropout(x, self.dropout, train), &a, None);
        linear(&filter.forward(&low), &b, None) * self.scale
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn tasks_adapt_the_frozen_product_of_the_shared_stream() {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let layer = TadLinear {
            base: Linear { weight: random(&[5, 3]), bias: Some(random(&[5])) },
            factors: LowRank { a: random(&[2, 3]), b: random(&[5, 2]) },
            scale: 0.5,
            dropout: 0.0,
            filter: Some(Filter::None),
        };
        let (shared, per_task) = (random(&[2, 4, 4, 3]), random(&[3, 2, 4, 4, 3]));
        let both = Activations::Both { shared: shared.shallow_clone(), per_task };
        let found = layer.forward(&both, true);
        let product = layer.base.forward(&shared);
        let close = |found: &Tensor, expected: &Tensor| {
            assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
        };
        close(found.expect_shared(), &(&product + layer.factors.forward(&shared) * 0.5));
        for task in 0..3 {
            let own = layer.factors.forward(&both.task(task)) * 0.5;
            close(&found.task(task), &(&product + own));
        }
        // Prompts of tasks, and what comes before tasks part.
        let alone = layer.forward(&Activations::Shared(shared), true);
        assert!(alone.per_task().is_none());
        close(alone.expect_shared(), found.expect_shared());
    }
}
