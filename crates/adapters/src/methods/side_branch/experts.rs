//! Experts of all tasks behind a level, and what every task takes of them.

use polyptych_kernels::gelu;
use polyptych_tensor::{Kind, Linear, Tensor, cast, no_grad};

/// A bottleneck for every task, mixed for every task.
#[derive(Debug)]
pub(super) struct Experts {
    pub(super) own: Vec<Bottleneck>,
    /// `G`, `[tasks, tasks]`.
    pub(super) gates: Tensor,
}

/// `C` to `k` to `C` numbers.
#[derive(Debug)]
pub(super) struct Bottleneck {
    pub(super) down: Linear,
    pub(super) up: Linear,
}

/// Gives `gates` their first values: every task takes most of its own expert.
pub(super) fn start(gates: &Tensor) {
    let identity = Tensor::eye(gates.size()[0], (gates.kind(), gates.device()));
    no_grad(|| gates.shallow_clone().copy_(&identity));
}

impl Experts {
    /// `x + sum_u softmax(G[t])_u E_u(x)`, `[tasks, .., C]`, for `x`: `[.., C]`.
    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let expert = |own: &Bottleneck| own.up.forward(&gelu(&own.down.forward(x)));
        let all: Vec<Tensor> = self.own.iter().map(expert).collect();
        x.unsqueeze(0) + self.mixed(&Tensor::stack(&all, 0))
    }

    /// What every task takes of `all`, `[tasks, .., C]` to the same.
    fn mixed(&self, all: &Tensor) -> Tensor {
        let shares = cast(&self.gates, all.kind()).softmax(-1, None::<Kind>);
        shares.matmul(&all.flatten(1, -1)).view_as(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_take_their_shares_of_all_experts() {
        let of = |values: &[f64]| Tensor::from_slice(values).view([2, 2]);
        let experts = Experts { own: Vec::new(), gates: of(&[1.0, 0.0, 0.0, 1.0]) };
        let found = experts.mixed(&of(&[1.0, 0.0, 0.0, 2.0]));
        let expected = of(&[0.731059, 0.537883, 0.268941, 1.462117]);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-6);
    }
}
