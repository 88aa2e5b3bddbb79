//! One operation at one shape, as often as a training step calls it.

use polyptych_kernels::backward;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

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

    /// `f` of `leaves`, and the gradients of all of them and of what `f` learns by itself.
    pub(crate) fn both(
        times: i64,
        work: Work,
        leaves: Vec<Tensor>,
        f: impl Fn(&[Tensor]) -> Tensor + 'static,
    ) -> Self {
        Self::forked(times, work, leaves, move |leaves| vec![f(leaves)])
    }

    /// The same for an `f` with several outputs. The gradients that arrive at them are drawn once,
    /// in the round that does not count.
    pub(crate) fn forked(
        times: i64,
        work: Work,
        leaves: Vec<Tensor>,
        f: impl Fn(&[Tensor]) -> Vec<Tensor> + 'static,
    ) -> Self {
        let mut arriving = None;
        Self::new(times, work, move || {
            let fresh: Vec<Tensor> =
                leaves.iter().map(|leaf| leaf.detach().set_requires_grad(true)).collect();
            let outputs = f(&fresh);
            let drawn = || outputs.iter().map(|out| random(&out.size(), out.kind())).collect();
            let gradients: &Vec<Tensor> = arriving.get_or_insert_with(drawn);
            let [outputs, gradients] =
                [&outputs, gradients].map(|all| all.iter().collect::<Vec<_>>());
            backward(&outputs, &gradients).expect("gradients have the shapes of the outputs");
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
