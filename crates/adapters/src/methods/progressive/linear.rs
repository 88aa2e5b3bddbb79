//! The adapted linear layer of groups.

use polyptych_tensor::{Activations, Linear, Projection, Tensor, cast};

use crate::blocks::low_rank::LowRank;
use crate::blocks::reweight::{beside_frozen, task_rows};

/// `W x_t + b + s B_g A_g x_t`.
#[derive(Debug)]
pub(super) struct GroupedLinear {
    pub(super) base: Linear,
    /// One for every group.
    pub(super) pairs: Vec<LowRank>,
    /// The group of every task.
    pub(super) groups: Vec<usize>,
    pub(super) scaling: f64,
}

impl Projection for GroupedLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        if let [pair] = &self.pairs[..] {
            return x.map(|t| pair.beside(&self.base, t, self.scaling, 0.0));
        }
        let rows = task_rows(x, self.groups.len() as i64);
        let (a, b) = factors(&self.pairs, &self.groups);
        let transposed = |t: &Tensor| cast(t, rows.kind()).transpose(1, 2);
        let term = rows.bmm(&transposed(&a)).bmm(&transposed(&b)) * self.scaling;
        beside_frozen(&self.base, x, &term)
    }
}

/// The factors of every task, `[tasks, r, in]` and `[tasks, out, r]`.
fn factors(pairs: &[LowRank], groups: &[usize]) -> (Tensor, Tensor) {
    let stacked = |factor: fn(&LowRank) -> &Tensor| {
        let all: Vec<&Tensor> = groups.iter().map(|&group| factor(&pairs[group])).collect();
        Tensor::stack(&all, 0)
    };
    (stacked(|pair| &pair.a), stacked(|pair| &pair.b))
}

/// The weight of every task, `[tasks, out, in]`.
pub(super) fn weights(
    weight: &Tensor,
    pairs: &[LowRank],
    groups: &[usize],
    scaling: f64,
) -> Tensor {
    let (a, b) = factors(pairs, groups);
    weight + b.matmul(&a) * scaling
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    fn draw(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn layer(groups: &[usize]) -> GroupedLinear {
        let count = groups.iter().max().map_or(0, |last| last + 1);
        GroupedLinear {
            base: Linear { weight: draw(&[4, 6]), bias: Some(draw(&[4])) },
            pairs: (0..count).map(|_| LowRank { a: draw(&[2, 6]), b: draw(&[4, 2]) }).collect(),
            groups: groups.to_vec(),
            scaling: 0.5,
        }
    }

    /// One group is shared LoRA; groups of one task are LoRA for each.
    #[test]
    fn every_task_reads_the_factors_of_its_group() {
        let x = draw(&[2, 5, 6]);
        for groups in [&[0, 0, 0][..], &[0, 1, 0], &[2, 0, 1]] {
            let layer = layer(groups);
            let found = layer.forward(&Activations::Shared(x.shallow_clone()), true);
            assert_eq!(found.per_task().is_none(), groups == [0, 0, 0]);
            for (task, &group) in groups.iter().enumerate() {
                let LowRank { a, b } = &layer.pairs[group];
                let term = x.matmul(&a.tr()).matmul(&b.tr()) * 0.5;
                let difference = found.task(task as i64) - layer.base.forward(&x) - term;
                assert!(difference.abs().max().double_value(&[]) < 1e-4, "{groups:?}");
            }
        }
    }
}
