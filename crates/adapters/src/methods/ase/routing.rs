//! Routers of tasks, over experts that are chosen and experts that are shared.

use std::cell::RefCell;

use polyptych_tensor::{Kind, Tensor, cast};

/// What chooses among the experts of one layer.
#[derive(Debug)]
pub(super) struct Routers {
    /// `R_t`, `[experts, in]` for every task; the shared experts are the last.
    pub(super) weights: Vec<Tensor>,
    /// `e_t`, `[in]` for every task.
    pub(super) tokens: Vec<Tensor>,
    /// How many experts are shared.
    pub(super) shared: i64,
    /// How many of the others are active.
    pub(super) active: i64,
    /// What the routers read in the last pass in training, without its history.
    pub(super) read: RefCell<Option<Tensor>>,
}

impl Routers {
    /// `x_t + e_t` for `x`, `[tasks, rows, in]`.
    pub(super) fn input(&self, x: &Tensor) -> Tensor {
        x + cast(&Tensor::stack(&self.tokens, 0), x.kind()).unsqueeze(1)
    }

    /// Weights of all experts for `u`, `[tasks, rows, in]`: `[tasks, rows, experts]`, 0 for those that
    /// are not active.
    pub(super) fn weights(&self, u: &Tensor, train: bool) -> Tensor {
        if train {
            *self.read.borrow_mut() = Some(u.detach());
        }
        normalised(&self.logits(u), self.shared, self.active)
    }

    fn logits(&self, u: &Tensor) -> Tensor {
        u.bmm(&cast(&Tensor::stack(&self.weights, 0), u.kind()).transpose(1, 2))
    }

    /// How much each task used each expert in the last pass in training, `[tasks, experts]`; nothing
    /// where there was none. The gradient is that of the routers alone.
    pub(super) fn loads(&self) -> Option<Tensor> {
        let read = self.read.borrow();
        let weights = normalised(&self.logits(read.as_ref()?), self.shared, self.active);
        Some(weights.to_kind(Kind::Float).mean_dim([1i64].as_slice(), false, None::<Kind>))
    }
}

/// One softmax over the last `shared` logits and the `active` largest of the others; 0 elsewhere.
fn normalised(logits: &Tensor, shared: i64, active: i64) -> Tensor {
    let sparse = logits.size()[logits.dim() - 1] - shared;
    let (_, chosen) = logits.narrow(-1, 0, sparse).detach().topk(active, -1, true, false);
    let closed = logits.detach().zeros_like().to_kind(Kind::Bool);
    let _ = closed.narrow(-1, 0, sparse).fill_(1);
    let closed = closed.scatter_value(-1, &chosen, 0);
    logits.masked_fill(&closed, f64::NEG_INFINITY).softmax(-1, None::<Kind>)
}

/// `sum P(t, e) log(P(t, e) / (P(t) P(e)))` of `loads`, `P(e | t)`: `[tasks, experts]`; tasks are
/// equally likely.
pub(super) fn mutual_information(loads: &Tensor) -> Tensor {
    let joint = loads / loads.size()[0] as f64;
    let of_expert = loads.mean_dim([0i64].as_slice(), true, None::<Kind>);
    let tiny = f64::from(f32::MIN_POSITIVE);
    let log = |p: &Tensor| p.clamp_min(tiny).log();
    (joint * (log(loads) - log(&of_expert))).sum(None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &Tensor, expected: &[f64]) {
        let found = Vec::<f64>::try_from(found.flatten(0, -1)).unwrap_or_default();
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn chosen_and_shared_experts_have_one_softmax() {
        let logits = Tensor::from_slice(&[2.0, 1.0, 0.5, 1.5]).unsqueeze(0);
        close(&normalised(&logits, 1, 2), &[0.506480, 0.186324, 0.0, 0.307196]);
        // Without shared experts it is a plain mixture of the best.
        close(&normalised(&logits, 0, 1), &[1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn experts_of_single_tasks_tell_all_and_those_of_all_tell_nothing() {
        let of = |loads: [f64; 4]| mutual_information(&Tensor::from_slice(&loads).view([2, 2]));
        close(&of([1.0, 0.0, 0.0, 1.0]), &[2f64.ln()]);
        close(&of([0.3, 0.7, 0.3, 0.7]), &[0.0]);
    }
}
