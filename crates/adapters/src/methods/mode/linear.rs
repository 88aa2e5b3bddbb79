//! The adapted linear layer of MoDE.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{Activations, Kind, Linear, Projection, Tensor, cast};

use crate::blocks::reweight::{task_rows, task_shape};

/// `W x + b` and the experts' mixture.
#[derive(Debug)]
pub(super) struct ModeLinear {
    pub(super) base: Linear,
    pub(super) experts: Experts,
    pub(super) router: Router,
    pub(super) seen: Seen,
}

/// What the routers of a layer chose in the last pass outside of training.
pub(super) type Seen = Rc<RefCell<Option<Choices>>>;

/// Choices of a layer's routers, mean over its blocks and over what one row holds: `[rows, values]`, or
/// `[tasks, rows, values]` where tasks are routed.
#[derive(Debug)]
pub(super) struct Choices {
    /// What every expert counts, `m` values that sum to 1.
    pub(super) load: Tensor,
    /// In nats, one value; at most `ln m`.
    pub(super) entropy: Tensor,
}

impl Choices {
    /// Of `logits`, `[.., blocks, m]`, as `[.., m]` and `[.., 1]`.
    fn of(logits: &Tensor) -> Self {
        let logits = logits.detach().to_kind(Kind::Float);
        let (shares, logs) =
            (logits.softmax(-1, None::<Kind>), logits.log_softmax(-1, None::<Kind>));
        let entropy =
            (&shares * logs).sum_dim_intlist([-1i64].as_slice(), true, None::<Kind>) * -1.0;
        let over_blocks = |t: Tensor| t.mean_dim([-2i64].as_slice(), false, None::<Kind>);
        Self { load: over_blocks(shares), entropy: over_blocks(entropy) }
    }

    fn map(self, f: impl Fn(Tensor) -> Tensor) -> Self {
        Self { load: f(self.load), entropy: f(self.entropy) }
    }
}

/// The factors of all experts.
#[derive(Debug)]
pub(super) struct Experts {
    /// `[1, r, in]`, or `[m, r, in]` where experts share no down-projection.
    pub(super) a: Tensor,
    /// `[m, out, r]`.
    pub(super) b: Tensor,
    /// Rank of a block.
    pub(super) p: i64,
}

impl Experts {
    /// All down-projections one below the other, `[r, in]` or `[m r, in]`.
    fn down(&self) -> Tensor {
        self.a.flatten(0, 1)
    }

    fn shares_down(&self) -> bool {
        self.a.size()[0] == 1
    }

    fn count(&self) -> i64 {
        self.b.size()[0]
    }
}

/// What mixes the experts.
#[derive(Debug)]
pub(super) enum Router {
    /// `V`, `[blocks * m, in]`.
    Token(Tensor),
    /// Logits of every task, `[blocks, m]` each.
    Tasks(Vec<Tensor>),
}

impl Router {
    /// What routing by task leaves of the experts: `A`, `[R, in]`, and `B` of every task,
    /// `[tasks, out, R]`; nothing where tokens are routed.
    pub(super) fn factors(&self, experts: &Experts) -> Option<(Tensor, Tensor)> {
        let Router::Tasks(logits) = self else { return None };
        // `[tasks, m, 1, r]` beside `[1, m, out, r]`.
        let shares = shares(&Tensor::stack(logits, 0), experts.p).unsqueeze(2);
        let scaled = experts.b.unsqueeze(0) * shares;
        let b = match experts.shares_down() {
            true => scaled.sum_dim_intlist([1i64].as_slice(), false, None),
            false => scaled.transpose(1, 2).flatten(2, 3),
        };
        Some((experts.down(), b))
    }
}

/// The mean over all axes between the first and the last.
fn over_places(t: Tensor) -> Tensor {
    match t.dim() {
        2 => t,
        _ => t.flatten(1, -2).mean_dim([1i64].as_slice(), false, None::<Kind>),
    }
}

/// From logits, `[.., blocks, m]`, to what every expert counts in every rank, `[.., m, r]`.
fn shares(logits: &Tensor, p: i64) -> Tensor {
    logits.softmax(-1, None::<Kind>).transpose(-1, -2).repeat_interleave_self_int(p, -1, None)
}

impl Projection for ModeLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        let Router::Token(router) = &self.router else { return self.by_task(x, train) };
        x.map(|t| self.base.forward(t) + self.by_token(t, router, train))
    }
}

impl ModeLinear {
    fn by_task(&self, x: &Activations, train: bool) -> Activations {
        if let (Router::Tasks(logits), false) = (&self.router, train) {
            let rows = x.task(0).size()[0];
            let all = |t: Tensor| t.unsqueeze(1).expand([-1, rows, -1], false);
            *self.seen.borrow_mut() = Some(Choices::of(&Tensor::stack(logits, 0)).map(all));
        }
        let frozen = x.map(|t| self.base.forward(t));
        let Some((a, b)) = self.router.factors(&self.experts) else { return frozen };
        let [tasks, out, _] = b.size()[..] else { unreachable!("b is [tasks, out, r]") };
        let rows = task_rows(x, tasks);
        let low = linear(&rows, &cast(&a, rows.kind()), None);
        let term = low.bmm(&cast(&b, rows.kind()).transpose(1, 2));
        let term = term.view(task_shape(x, tasks, out).as_slice());
        Activations::PerTask(match frozen {
            Activations::Shared(shared) => shared.unsqueeze(0) + term,
            Activations::Both { per_task, .. } | Activations::PerTask(per_task) => per_task + term,
        })
    }

    /// The mixture for `x`, `[.., in]`: `[.., out]`.
    fn by_token(&self, x: &Tensor, router: &Tensor, train: bool) -> Tensor {
        let Experts { a, b, p } = &self.experts;
        let (m, r) = (self.experts.count(), a.size()[1]);
        let low = linear(x, &cast(&self.experts.down(), x.kind()), None);
        let logits = linear(x, &cast(router, x.kind()), None);
        let mut shape = x.size();
        shape.pop();
        let with = |last: [i64; 2]| [shape.as_slice(), &last].concat();
        let logits = logits.view(with([r / p, m]).as_slice());
        if !train {
            *self.seen.borrow_mut() = Some(Choices::of(&logits).map(over_places));
        }
        let shares = shares(&logits, *p);
        let low = low.view(with([a.size()[0], r]).as_slice()) * shares;
        // `[out, m r]`: the experts' up-projections side by side.
        let up = b.transpose(0, 1).flatten(1, 2);
        linear(&low.flatten(-2, -1), &cast(&up, x.kind()), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    const M: i64 = 3;
    const R: i64 = 4;

    fn draw(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn layer(router: Router, downs: i64, p: i64) -> ModeLinear {
        let base = Linear { weight: draw(&[5, 6]), bias: Some(draw(&[5])) };
        let experts = Experts { a: draw(&[downs, R, 6]), b: draw(&[M, 5, R]), p };
        ModeLinear { base, experts, router, seen: Seen::default() }
    }

    fn largest(difference: Tensor) -> f64 {
        difference.abs().max().double_value(&[])
    }

    /// Logits of one-hot choices of expert 1 in every block.
    fn first(blocks: i64) -> Tensor {
        let logits = Tensor::zeros([blocks, M], (Kind::Float, Device::Cpu));
        let _ = logits.narrow(1, 0, 1).fill_(1e4);
        logits
    }

    #[test]
    fn routers_that_choose_one_expert_give_lora() {
        let x = draw(&[2, 7, 6]);
        for downs in [1, M] {
            let layer = layer(Router::Tasks(vec![first(R), first(R)]), downs, 1);
            let (a, b) = (layer.experts.a.get(0), layer.experts.b.get(0));
            let expected = layer.base.forward(&x) + x.matmul(&a.tr()).matmul(&b.tr());
            let found = layer.forward(&Activations::Shared(x.shallow_clone()), false);
            assert!(found.shared().is_none());
            for task in 0..2 {
                assert!(largest(found.task(task) - &expected) < 1e-5);
            }
        }
    }

    /// One router per rank with equal logits is one router, that of MoLORA-SD.
    #[test]
    fn equal_routers_are_one() {
        let x = Activations::Shared(draw(&[2, 7, 6]));
        let row = draw(&[1, M]);
        let dyadic = layer(Router::Tasks(vec![row.repeat([R, 1])]), 1, 1);
        let whole = ModeLinear {
            base: Linear {
                weight: dyadic.base.weight.copy(),
                bias: dyadic.base.bias.as_ref().map(Tensor::copy),
            },
            experts: Experts { a: dyadic.experts.a.copy(), b: dyadic.experts.b.copy(), p: R },
            router: Router::Tasks(vec![row]),
            seen: Seen::default(),
        };
        let [dyadic, whole] = [dyadic, whole].map(|layer| layer.forward(&x, false).task(0));
        assert!(largest(dyadic - whole) < 1e-6);
    }

    /// What was chosen is noted outside of training: by task, or by the rows of the first axis.
    #[test]
    fn choices_are_noted_outside_of_training() {
        let x = Activations::Shared(draw(&[2, 7, 6]));
        let tasks =
            Router::Tasks(vec![first(R), Tensor::zeros([R, M], (Kind::Float, Device::Cpu))]);
        for (router, shape) in
            [(tasks, vec![2, 2, M]), (Router::Token(draw(&[R * M, 6])), vec![2, M])]
        {
            let layer = layer(router, 1, 1);
            let _ = layer.forward(&x, true);
            assert!(layer.seen.borrow().is_none());
            let _ = layer.forward(&x, false);
            let Choices { load, entropy } = layer.seen.take().unwrap();
            assert_eq!(load.size(), shape);
            let sums = load.sum_dim_intlist([-1i64].as_slice(), false, None::<Kind>);
            assert!(largest(sums - 1.0) < 1e-6);
            if shape.len() == 3 {
                // One expert for the first task, all alike for the second.
                let nats = Vec::<f32>::try_from(entropy.select(1, 0).flatten(0, -1)).unwrap();
                assert!(nats[0].abs() < 1e-6 && (nats[1] - (M as f32).ln()).abs() < 1e-6);
                assert_eq!(load.double_value(&[0, 0, 0]), 1.0);
            }
        }
    }

    /// The sum of the definition, expert by expert and rank by rank.
    #[test]
    fn tokens_are_routed_as_defined() {
        for (downs, p) in [(1, 1), (1, 2), (M, 4)] {
            let x = draw(&[7, 6]);
            let layer = layer(Router::Token(draw(&[R / p * M, 6])), downs, p);
            let Router::Token(v) = &layer.router else { panic!("routed by token") };
            let mut expected = layer.base.forward(&x);
            for block in 0..R / p {
                let gates = x.matmul(&v.narrow(0, block * M, M).tr()).softmax(-1, None::<Kind>);
                for expert in 0..M {
                    let a = layer.experts.a.get(expert.min(downs - 1)).narrow(0, block * p, p);
                    let b = layer.experts.b.get(expert).narrow(1, block * p, p);
                    let term = x.matmul(&a.tr()).matmul(&b.tr());
                    expected += term * gates.narrow(1, expert, 1);
                }
            }
            let found = layer.forward(&Activations::Shared(x), false).into_shared();
            assert!(largest(found - expected) < 1e-4, "{downs}, {p}");
        }
    }
}
