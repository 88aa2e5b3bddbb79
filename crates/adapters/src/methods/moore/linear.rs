//! The adapted linear layer of MoORE.

use polyptych_tensor::{Activations, Kind, Linear, Projection, Tensor, cast};

use crate::blocks::reweight::{task_rows, task_shape};
use crate::blocks::svd::{Svd, SvdCache};
use crate::blocks::tensors::widened;

/// The mixture of a frozen weight's experts, and the bias.
#[derive(Debug)]
pub(super) struct MooreLinear {
    pub(super) base: Linear,
    pub(super) experts: Experts,
}

/// What chooses among the experts of every part of a weight, and turns what they read.
#[derive(Debug)]
pub(super) struct Experts {
    /// `e_t`, `[token_dim]` each.
    pub(super) tokens: Vec<Tensor>,
    /// `P`, `[parts, k, token_dim]`.
    pub(super) by_task: Tensor,
    /// `G`, `[parts, n, in]`, and `Q`, `[parts, k, n]`.
    pub(super) router: Option<[Tensor; 2]>,
    /// `h`, `[parts, r, in]`.
    pub(super) reflections: Option<Tensor>,
    pub(super) svd: SvdCache,
}

impl Experts {
    /// `V^T H`, `[parts, k, in]`.
    fn read(&self, vt: &Tensor) -> Tensor {
        match &self.reflections {
            Some(h) => reflected(vt, h),
            None => vt.shallow_clone(),
        }
    }

    /// `s + P e_t` of every task, `[parts, tasks, k]`.
    fn of_tasks(&self, s: &Tensor) -> Tensor {
        let tokens = Tensor::stack(&self.tokens, 0);
        s.unsqueeze(1) + tokens.unsqueeze(0).matmul(&self.by_task.transpose(1, 2))
    }

    /// The weight of every task, `[tasks, out, in]`, without the router that reads tokens.
    pub(super) fn weights(&self, weight: &Tensor) -> Tensor {
        let Svd { u, s, vt } = &*self.svd.of(weight);
        let gates = self.of_tasks(s).relu().transpose(0, 1).unsqueeze(2);
        let weights = (u.unsqueeze(0) * gates).matmul(&self.read(vt).unsqueeze(0));
        weights.flatten(1, 2)
    }

    /// `[tasks, rows, in]` to `[tasks, rows, out]`.
    fn forward(&self, x: &Tensor, weight: &Tensor) -> Tensor {
        let Svd { u, s, vt } = &*self.svd.of(weight);
        let all = x.flatten(0, 1).unsqueeze(0);
        let of_parts =
            |matrices: &Tensor, x: &Tensor| x.matmul(&cast(matrices, x.kind()).transpose(1, 2));
        let by_task = cast(&self.of_tasks(s), x.kind()).unsqueeze(2);
        let gates = match &self.router {
            Some([g, q]) => {
                let by_token = of_parts(q, &of_parts(g, &all));
                by_token.unflatten(1, [x.size()[0], -1]) + by_task
            }
            None => by_task,
        };
        let read = of_parts(&self.read(vt), &all).unflatten(1, [x.size()[0], -1]);
        let mixed = of_parts(u, &(read * gates.relu()).flatten(1, 2));
        // Parts lie one behind the other in an output.
        mixed.permute([1, 0, 2]).flatten(1, 2).unflatten(0, [x.size()[0], -1])
    }
}

/// `matrix H_r .. H_2 H_1` for `matrix`: `[parts, k, in]`, and `h`: `[parts, r, in]`.
fn reflected(matrix: &Tensor, h: &Tensor) -> Tensor {
    let norms = h.square().sum_dim_intlist([-1i64].as_slice(), true, None::<Kind>).sqrt();
    let units = h / norms;
    let reflect = |m: Tensor, index: i64| {
        let unit = units.select(1, index).unsqueeze(-1);
        let along = m.matmul(&unit);
        m - along * unit.transpose(1, 2) * 2.0
    };
    (0..h.size()[1]).rev().fold(widened(matrix), reflect)
}

impl Projection for MooreLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let tasks = self.experts.tokens.len() as i64;
        let y = self.experts.forward(&task_rows(x, tasks), &self.base.weight);
        let y = match &self.base.bias {
            Some(bias) => &y + cast(bias, y.kind()),
            None => y,
        };
        let out = y.size()[2];
        Activations::PerTask(y.view(task_shape(x, tasks, out).as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Device;

    use super::*;

    fn tensor(numbers: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(numbers).view(shape)
    }

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn close(found: &Tensor, expected: &Tensor) {
        let difference = (found - expected).abs().max().double_value(&[]);
        assert!(difference < 1e-4, "{difference}: {found:?}");
    }

    /// Two parts of three outputs each, two tasks.
    fn experts(router: bool, reflections: bool) -> Experts {
        Experts {
            tokens: vec![random(&[5]), random(&[5])],
            by_task: random(&[2, 3, 5]),
            router: router.then(|| [random(&[2, 4, 6]), random(&[2, 3, 4])]),
            reflections: reflections.then(|| random(&[2, 2, 6])),
            svd: SvdCache::new(2),
        }
    }

    /// `W = diag(3, 2)`: the experts are the axes.
    #[test]
    fn gates_add_to_singular_values_and_close_at_zero() {
        let experts = Experts {
            tokens: vec![tensor(&[1.0, 1.0], &[2]), tensor(&[0.0, 1.0], &[2])],
            by_task: tensor(&[-1.0, 2.0, 1.0, -4.0], &[1, 2, 2]),
            router: Some([tensor(&[0.0, 1.0], &[1, 1, 2]), tensor(&[0.5, 0.25], &[1, 2, 1])]),
            reflections: None,
            svd: SvdCache::new(1),
        };
        let weight = tensor(&[3.0, 0.0, 0.0, 2.0], &[2, 2]);
        // `s + P e` is `[3 + 1, 2 - 3]` and `[3 + 2, 2 - 4]`; `G x` of the tokens is 2 and 16.
        let x = tensor(&[1.0, 2.0, 1.0, 16.0], &[1, 2, 2]).expand([2, -1, -1], false);
        let found = experts.forward(&x, &weight);
        let first = [4.0 + 1.0, 0.0, 4.0 + 8.0, (-1.0 + 4.0) * 16.0];
        let second = [5.0 + 1.0, 0.0, 5.0 + 8.0, (-2.0 + 4.0) * 16.0];
        close(&found, &tensor(&[first, second].concat(), &[2, 2, 2]));
    }

    /// Mirrors at the diagonal, then at the first axis: a quarter turn.
    #[test]
    fn reflections_turn_what_experts_read() {
        let h = tensor(&[1.0, -1.0, 3.0, 0.0], &[1, 2, 2]);
        let identity = tensor(&[1.0, 0.0, 0.0, 1.0], &[1, 2, 2]);
        let found = reflected(&identity, &h);
        // (1, 0) goes to (0, 1) and stays there; (0, 1) goes to (1, 0), then to (-1, 0).
        let turned = tensor(&[0.0, 1.0, -1.0, 0.0], &[1, 2, 2]);
        let x = tensor(&[1.0, 0.0, 0.0, 1.0], &[1, 2, 2]);
        close(&x.matmul(&found.transpose(1, 2)), &turned);
    }

    #[test]
    fn a_task_without_router_has_a_weight() {
        for reflections in [false, true] {
            let (experts, weight) = (experts(false, reflections), random(&[6, 6]));
            let x = random(&[2, 7, 6]);
            let expected = x.bmm(&experts.weights(&weight).transpose(1, 2));
            close(&experts.forward(&x, &weight), &expected);
        }
    }

    /// Gates that stay open and pairs that cancel leave the weight; so do its column space.
    #[test]
    fn the_start_is_the_frozen_weight() {
        let weight = random(&[6, 6]);
        let mut experts = experts(true, false);
        let h = random(&[2, 1, 6]);
        experts.reflections = Some(Tensor::cat(&[&h, &h], 1));
        experts.by_task = experts.by_task.zeros_like();
        experts.router = experts.router.map(|[g, q]| [g, q.zeros_like()]);
        let x = random(&[2, 7, 6]);
        close(&experts.forward(&x, &weight), &x.matmul(&weight.tr()));
    }
}
