//! One operation at one shape, as often as a training step calls it.

use polyptych_tensor::{Device, Kind, Store, Tensor, no_grad};

use crate::work::Work;

/// See the module.
pub(crate) struct Call {
    times: i64,
    work: Work,
    run: Box<dyn FnMut()>,
}

impl Call {
    /// `run`, which does `work`, `times` over.
    pub(crate) fn new(times: i64, work: Work, run: impl FnMut() + 'static) -> Self {
        Self { times, work, run: Box::new(run) }
    }

    /// `f`, without gradients.
    pub(crate) fn forward(times: i64, work: Work, f: impl Fn() -> Tensor + 'static) -> Self {
        Self::new(times, work, move || drop(no_grad(&f)))
    }

    /// `f` of `leaves` and the gradients of all of them.
    pub(crate) fn both(
        times: i64,
        work: Work,
        leaves: Vec<Tensor>,
        f: impl Fn(&[Tensor]) -> Tensor + 'static,
    ) -> Self {
        Self::learning(times, work, (leaves, Vec::new()), f)
    }

    /// The same, and the gradients of what `f` learns by itself. The gradient that arrives is
    /// written anew each time, which is one pass over the output more than a step makes.
    pub(crate) fn learning(
        times: i64,
        work: Work,
        (leaves, learnt): (Vec<Tensor>, Vec<Tensor>),
        f: impl Fn(&[Tensor]) -> Tensor + 'static,
    ) -> Self {
        Self::new(times, work, move || {
            let fresh: Vec<Tensor> =
                leaves.iter().map(|leaf| leaf.detach().set_requires_grad(true)).collect();
            let inputs: Vec<&Tensor> = fresh.iter().chain(&learnt).collect();
            drop(Tensor::run_backward(&[f(&fresh)], &inputs, false, false));
        })
    }

    /// How often a step makes it.
    pub(crate) fn times(&self) -> i64 {
        self.times
    }

    /// Of all times.
    pub(crate) fn work(&self) -> Work {
        self.work * self.times
    }

    /// All times.
    pub(crate) fn run(&mut self) {
        (0..self.times).for_each(|_| (self.run)());
    }
}

/// Normal numbers.
pub(crate) fn random(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind)
}

/// What trains in `store`.
pub(crate) fn learnt(store: &Store) -> Vec<Tensor> {
    store.trainable().into_iter().map(|(_, tensor)| tensor).collect()
}
