//! Gradient checkpointing: memory for time.
//!
//! A part of a network keeps what goes into it and nothing else. In the backward pass it is run
//! once more, which makes what its operations would have kept (Chen et al., "Training Deep Nets
//! with Sublinear Memory Cost", arXiv 1604.06174). The graph is the same as without, so every
//! gradient is the same bit for bit, whatever a backward pass asks for and however often.

use std::rc::Rc;

use tch::Tensor;

use crate::Activations;
use polyptych_kernels::recompute;

/// What goes into a part that is run again.
pub trait CheckpointInput {
    /// The same numbers, which ask for gradients where these do, but do not hand them on.
    fn cut_off(&self) -> Self;

    /// One of the tensors, for the device.
    fn any(&self) -> &Tensor;
}

impl CheckpointInput for Activations {
    fn cut_off(&self) -> Self {
        self.each(cut_off)
    }

    fn any(&self) -> &Tensor {
        Activations::any(self)
    }
}

/// Streams, and tokens that come with them.
impl CheckpointInput for (Activations, Option<Tensor>) {
    fn cut_off(&self) -> Self {
        (self.0.cut_off(), self.1.as_ref().map(cut_off))
    }

    fn any(&self) -> &Tensor {
        self.0.any()
    }
}

/// `run(x)`, of which only `x` is kept for the backward pass.
///
/// `run` is called again in every backward pass that goes through it, where it must do the same: it
/// draws the same dropout, and draws to come are not moved by that. Neither `x` nor parameters may
/// change in between. If the second call fails or panics, the backward pass is an error.
///
/// Nothing changes where no gradient will be asked for, in a trace, and within another call.
///
/// `run` need not be `Send`, although tensors are: it is called and freed by the thread that made it
/// alone, or by LibTorch's thread of a device while that waits. A backward pass that another thread
/// asks for is an error. [`recompute`] says what this changes in the whole process: LibTorch's
/// autograd engine, and with it the hooks for tensors that are kept.
pub fn grad_checkpoint<X: CheckpointInput + 'static, R>(
    x: &X,
    run: impl Fn(&X) -> R + 'static,
) -> R {
    let run = Rc::new(run);
    let (again, kept) = (run.clone(), x.cut_off());
    recompute(x.any(), move || drop(again(&kept)), || run(x))
}

fn cut_off(t: &Tensor) -> Tensor {
    t.detach().set_requires_grad(t.requires_grad())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tch::{Device, Kind, Tensor, no_grad};

    use super::*;
    use crate::{add_branch, dropout};
    use polyptych_kernels::{gelu, linear, low_rank_linear, task_low_rank};

    const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn param(shape: &[i64]) -> Tensor {
        (Tensor::randn(shape, CPU) * 0.3).set_requires_grad(true)
    }

    /// A part with dropout of both kinds, streams of tasks, and an operation that keeps what went
    /// into the GELU before it.
    #[derive(Debug)]
    struct Part {
        weight: Tensor,
        bias: Tensor,
        a: Tensor,
        b: Tensor,
        task_a: Tensor,
        task_b: Tensor,
        calls: Cell<usize>,
    }

    impl Part {
        fn new(tasks: i64) -> Rc<Self> {
            Rc::new(Self {
                weight: param(&[6, 6]),
                bias: param(&[6]),
                a: param(&[2, 6]),
                b: param(&[6, 2]),
                task_a: param(&[tasks, 2, 6]),
                task_b: param(&[tasks, 6, 2]),
                calls: Cell::default(),
            })
        }

        fn params(&self) -> [&Tensor; 6] {
            [&self.weight, &self.bias, &self.a, &self.b, &self.task_a, &self.task_b]
        }

        fn run(&self, x: &Activations) -> Activations {
            self.calls.set(self.calls.get() + 1);
            let hidden = x.map(|t| gelu(&linear(t, &self.weight, Some(&self.bias))));
            let base = (&self.weight, Some(&self.bias));
            let out = hidden.map(|t| low_rank_linear(t, base, (&self.a, &self.b), 2.0, 0.3));
            let base = out.expect_shared();
            let factors = (&self.task_a, &self.task_b);
            let streams = x.per_task().map(|streams| task_low_rank(streams, base, factors));
            let shared = add_branch(x.expect_shared(), &dropout(base, 0.2, true), 0.4, true);
            match streams {
                Some(per_task) => Activations::Both { shared, per_task },
                None => Activations::Shared(shared),
            }
        }
    }

    /// Two parts one behind the other, and a number that depends on all of their outputs.
    fn through(parts: &[Rc<Part>; 2], x: &Tensor, checkpointed: bool) -> Tensor {
        let streams = Tensor::stack(&[x, &(x * 2.0)], 0);
        let mut x = Activations::Both { shared: x.shallow_clone(), per_task: streams };
        for part in parts {
            let part = part.clone();
            x = match checkpointed {
                true => grad_checkpoint(&x, move |x| part.run(x)),
                false => part.run(&x),
            };
        }
        let streams = x.per_task().unwrap().exp().sum(Kind::Float) * 1e-3;
        x.expect_shared().square().sum(Kind::Float) + streams
    }

    fn setting() -> ([Rc<Part>; 2], Tensor) {
        ([Part::new(2), Part::new(2)], param(&[5, 6]))
    }

    fn leaves<'a>(parts: &'a [Rc<Part>; 2], x: &'a Tensor) -> Vec<&'a Tensor> {
        parts.iter().flat_map(|part| part.params()).chain([x]).collect()
    }

    fn next_draw() -> f64 {
        Tensor::rand([1], CPU).double_value(&[0])
    }

    #[test]
    fn nothing_differs_but_what_is_kept() {
        let _alone = crate::testing::alone();
        let (parts, x) = setting();
        let found = [false, true].map(|checkpointed| {
            tch::manual_seed(3);
            polyptych_kernels::forget_gradients(&leaves(&parts, &x));
            let loss = through(&parts, &x, checkpointed);
            let drawn = next_draw();
            loss.backward();
            let grads: Vec<_> = leaves(&parts, &x).iter().map(|leaf| leaf.grad().copy()).collect();
            (loss.double_value(&[]), drawn, next_draw(), grads)
        });
        let [plain, again] = &found;
        assert_eq!((plain.0, plain.1, plain.2), (again.0, again.1, again.2));
        assert!(plain.3.iter().zip(&again.3).all(|(plain, again)| plain.equal(again)));
        assert!(plain.3.iter().all(|grad| grad.abs().max().double_value(&[]) > 0.0));
        assert!(parts.iter().all(|part| part.calls.get() == 3));
    }

    #[test]
    fn one_graph_serves_many_passes() {
        let _alone = crate::testing::alone();
        let (parts, x) = setting();
        let passes = |checkpointed: bool| -> Vec<Tensor> {
            tch::manual_seed(3);
            let loss = through(&parts, &x, checkpointed);
            let some = [&parts[0].a, &parts[1].task_b, &x];
            let all = leaves(&parts, &x);
            let ask = |of: &[&Tensor], keep| Tensor::run_backward(&[&loss], of, keep, false);
            let (one, three) = (ask(&some[1..2], true), ask(&some, true));
            [one, three, ask(&all, true), ask(&all, false)].into_iter().flatten().collect()
        };
        let (plain, again) = (passes(false), passes(true));
        assert_eq!(plain.len(), 1 + 3 + 2 * 13);
        assert!(plain.iter().zip(&again).all(|(plain, again)| plain.equal(again)));
        // The first part takes no part in the first pass.
        assert_eq!([0, 1].map(|part: usize| parts[part].calls.get()), [2 + 3, 2 + 4]);
    }

    #[test]
    fn a_second_run_that_fails_is_an_error_and_may_be_tried_again() {
        let _alone = crate::testing::alone();
        let (weight, calls) = (param(&[3]), Rc::new(Cell::new(0)));
        let (held, counted) = (weight.shallow_clone(), calls.clone());
        let x = Activations::Shared(param(&[3]));
        let y = grad_checkpoint(&x, move |x| {
            counted.set(counted.get() + 1);
            let seen = (x.expect_shared() * &held).exp();
            assert_ne!(counted.get(), 2, "no luck");
            seen
        });
        let loss = y.sum(Kind::Float);
        let ask = || Tensor::f_run_backward(&[&loss], &[&weight], true, false);
        let message = crate::Error::from(ask().unwrap_err()).to_string();
        assert!(message.contains("run again in the backward pass: assertion"), "{message}");
        let found = ask().unwrap().remove(0);
        assert!(found.equal(&((x.expect_shared() * &weight).exp() * x.expect_shared())));
        assert_eq!(calls.get(), 3);
    }

    #[test]
    fn a_second_run_that_differs_is_an_error() {
        let _alone = crate::testing::alone();
        let (weight, calls) = (param(&[3]), Cell::new(0));
        let held = weight.shallow_clone();
        let y = grad_checkpoint(&Activations::Shared(param(&[3])), move |x| {
            calls.set(calls.get() + 1);
            let y = x.expect_shared() * &held;
            if calls.get() == 1 { y } else { y.exp() }
        });
        let message = y.sum(Kind::Float).f_backward().unwrap_err().to_string();
        assert!(
            message.contains("run again in the backward pass keeps other tensors"),
            "{message}"
        );
    }

    #[test]
    fn parameters_that_changed_in_between_are_an_error() {
        let _alone = crate::testing::alone();
        let weight = param(&[3]);
        let held = weight.shallow_clone();
        let y =
            grad_checkpoint(&Activations::Shared(param(&[3])), move |x| x.expect_shared() * &held);
        no_grad(|| drop(weight.shallow_clone().fill_(2.0)));
        let message = y.sum(Kind::Float).f_backward().unwrap_err().to_string();
        let expected = "a parameter was changed between forward and backward pass";
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn nothing_is_run_again_where_nothing_learns_or_within_another() {
        let _alone = crate::testing::alone();
        let part = Part::new(2);
        let x = || Activations::Shared(param(&[5, 6]));
        let (inner, outer) = (part.clone(), part.clone());
        let y = no_grad(|| grad_checkpoint(&x(), move |x| inner.run(x)));
        assert!(!y.expect_shared().requires_grad() && part.calls.get() == 1);
        let y = grad_checkpoint(&x(), move |x| {
            let inner = outer.clone();
            grad_checkpoint(&outer.run(x), move |x| inner.run(x))
        });
        y.expect_shared().sum(Kind::Float).backward();
        assert_eq!(part.calls.get(), 1 + 2 + 2);
    }

    #[test]
    fn what_runs_again_goes_with_its_graph() {
        let _alone = crate::testing::alone();
        let part = Part::new(2);
        let held = part.clone();
        let x = Activations::Shared(param(&[5, 6]));
        let y = grad_checkpoint(&x, move |x| held.run(x));
        assert_eq!(Rc::strong_count(&part), 2);
        y.expect_shared().sum(Kind::Float).backward();
        assert_eq!(Rc::strong_count(&part), 1);
        let held = part.clone();
        drop(grad_checkpoint(&x, move |x| held.run(x)));
        assert_eq!(Rc::strong_count(&part), 1);
    }

    #[test]
    fn another_thread_neither_runs_nor_frees_it() {
        let _alone = crate::testing::alone();
        let part = Part::new(2);
        let x = Activations::Shared(param(&[5, 6]));
        let recorded = || {
            let held = part.clone();
            grad_checkpoint(&x, move |x| held.run(x)).into_shared().sum(Kind::Float)
        };
        let loss = recorded();
        let elsewhere = move || loss.f_backward().unwrap_err().to_string();
        let message = std::thread::spawn(elsewhere).join().unwrap();
        assert!(message.contains("is of another thread"), "{message}");
        assert_eq!((part.calls.get(), Rc::strong_count(&part)), (1, 2));
        // What another thread left is freed by the next call here.
        recorded().backward();
        assert_eq!((part.calls.get(), Rc::strong_count(&part)), (3, 1));
        assert!(x.expect_shared().grad().defined());
    }
}
