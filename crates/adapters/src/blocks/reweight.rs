//! Projections whose weight a method changes: for the shared stream, and for every task.

use polyptych_kernels::linear;
use polyptych_tensor::{
    Activations, Init, Linear, Projection, Result, Scope, Site, Tensor, Tensors, cast,
};

use crate::blocks::asked::Asked;

/// What becomes of a frozen weight `W`, `[out, in]`, float32 or wider.
pub(crate) trait Reweight: std::fmt::Debug {
    /// The weight that the shared stream reads, `[out, in]`.
    fn shared(&self, weight: &Tensor) -> Tensor;

    /// The bias beside it, `[out]`.
    fn bias(&self, bias: &Tensor) -> Tensor {
        bias.shallow_clone()
    }

    /// A weight for every task, `[tasks, out, in]`; nothing where all streams read the shared one.
    fn tasks(&self, _weight: &Tensor) -> Option<Tensor> {
        None
    }
}

/// A frozen projection behind a [`Reweight`].
#[derive(Debug)]
pub(crate) struct Reweighted<R> {
    base: Linear,
    reweight: R,
    asked: Asked,
}

impl<R> Reweighted<R> {
    /// Of a plan that is asked for tasks through `asked`.
    pub(crate) fn new(base: Linear, reweight: R, asked: &Asked) -> Self {
        Self { base, reweight, asked: asked.clone() }
    }
}

impl<R: Reweight> Projection for Reweighted<R> {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let weight = self.reweight.shared(&self.base.weight);
        let bias = self.base.bias.as_ref().map(|bias| self.reweight.bias(bias));
        let apply = |t: &Tensor| {
            let bias = bias.as_ref().map(|b| cast(b, t.kind()));
            linear(t, &cast(&weight, t.kind()), bias.as_ref())
        };
        match self.reweight.tasks(&self.base.weight) {
            None => x.map(apply),
            Some(weights) => {
                let weights = self.asked.select(weights);
                streams(x.shared().map(apply), task_linear(x, &weights, bias.as_ref()))
            }
        }
    }
}

/// The streams of tasks, beside the one that all share where there is one.
pub(crate) fn streams(shared: Option<Tensor>, per_task: Tensor) -> Activations {
    match shared {
        Some(shared) => Activations::Both { shared, per_task },
        None => Activations::PerTask(per_task),
    }
}

/// `y_t = W_t x_t + b`, `[tasks, .., out]`, for `weights`: `[tasks, out, in]`. Where tasks have no
/// streams yet, all read the shared one.
pub(crate) fn task_linear(x: &Activations, weights: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let [tasks, out, _] = weights.size()[..] else { unreachable!("weights are [tasks, out, in]") };
    let rows = task_rows(x, tasks);
    let y = rows.bmm(&cast(weights, rows.kind()).transpose(1, 2));
    let y = match bias {
        Some(bias) => y + cast(bias, rows.kind()),
        None => y,
    };
    y.view(task_shape(x, tasks, out).as_slice())
}

/// The streams of all tasks as `[tasks, rows, in]`.
pub(crate) fn task_rows(x: &Activations, tasks: i64) -> Tensor {
    match x {
        Activations::Shared(shared) => {
            shared.flatten(0, -2).unsqueeze(0).expand([tasks, -1, -1], false)
        }
        Activations::Both { per_task, .. } | Activations::PerTask(per_task) => {
            per_task.flatten(1, -2)
        }
    }
}

/// The shape of the streams of all tasks behind a map to `out` numbers.
pub(crate) fn task_shape(x: &Activations, tasks: i64, out: i64) -> Vec<i64> {
    let mut shape = [vec![tasks], x.size()].concat();
    shape.pop();
    shape.push(out);
    shape
}

/// The merged form: every task has its weight as a parameter of its own.
#[derive(Debug)]
pub(crate) struct TaskWeights(Vec<Tensor>);

impl TaskWeights {
    /// Creates `<group>.<task>.weight`, to be loaded from what [`put_task_weights`] wrote.
    pub(crate) fn new(scope: &Scope, group: &str, site: &Site, tasks: &[String]) -> Result<Self> {
        let shape = [site.out_features, site.in_features];
        let one =
            |task: &String| scope.pp(group).param(format!("{task}.weight"), &shape, Init::ZEROS);
        Ok(Self(tasks.iter().map(one).collect::<Result<_>>()?))
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// `[tasks, out, in]`.
    pub(crate) fn stacked(&self) -> Tensor {
        Tensor::stack(&self.0, 0)
    }
}

impl Reweight for TaskWeights {
    fn shared(&self, weight: &Tensor) -> Tensor {
        weight.shallow_clone()
    }

    fn tasks(&self, _weight: &Tensor) -> Option<Tensor> {
        Some(self.stacked())
    }
}

/// The merged form of a layer whose streams are all tasks' own: nothing is shared behind it.
#[derive(Debug)]
pub(crate) struct OwnWeights {
    pub(crate) base: Linear,
    pub(crate) weights: TaskWeights,
}

impl Projection for OwnWeights {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let weights = self.weights.stacked();
        Activations::PerTask(task_linear(x, &weights, self.base.bias.as_ref()))
    }
}

/// `W x + b` of every task's stream and `term`, `[tasks, rows, out]`, of it: the streams of tasks
/// that go on.
pub(crate) fn beside_frozen(base: &Linear, x: &Activations, term: &Tensor) -> Activations {
    let [tasks, _, out] = term.size()[..] else { unreachable!("a term is [tasks, rows, out]") };
    let term = term.view(task_shape(x, tasks, out).as_slice());
    Activations::PerTask(match x {
        Activations::Shared(shared) => base.forward(shared).unsqueeze(0) + term,
        Activations::Both { per_task, .. } | Activations::PerTask(per_task) => {
            base.forward(per_task) + term
        }
    })
}

/// Puts `weights`, `[tasks, out, in]`, where [`TaskWeights`] of the site at `path` looks for them.
pub(crate) fn put_task_weights(
    tensors: &mut Tensors,
    path: &str,
    group: &str,
    tasks: &[String],
    weights: &Tensor,
) {
    for (index, task) in tasks.iter().enumerate() {
        let own = weights.select(0, index as i64).contiguous();
        tensors.insert(format!("{path}.{group}.{task}.weight"), own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn every_task_reads_its_own_weight() {
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (weights, bias) = (draw(&[3, 5, 4]), draw(&[5]));
        let shared = Activations::Shared(draw(&[2, 6, 4]));
        let own = Activations::Both { shared: draw(&[2, 6, 4]), per_task: draw(&[3, 2, 6, 4]) };
        for x in [shared, own] {
            let found = task_linear(&x, &weights, Some(&bias));
            assert_eq!(found.size(), [3, 2, 6, 5]);
            for task in 0..3 {
                let expected = x.task(task).matmul(&weights.select(0, task).tr()) + &bias;
                let difference = (found.select(0, task) - expected).abs().max();
                assert!(difference.double_value(&[]) < 1e-5);
            }
        }
    }
}
