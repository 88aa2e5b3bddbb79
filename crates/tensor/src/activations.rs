//! The central type: what all tasks share, and what each task owns.
//!
//! Every method of the field is a rule about two streams. The task axis is the leading axis of
//! one tensor, never a map of tensors, so work for all tasks is one batched operation.

use tch::Tensor;

/// Activations on their way through a network.
///
/// `shared`: `[batch, .., dim]`; `per_task`: `[tasks, batch, .., dim]`. The axes between batch and
/// dim are tokens, or height and width; they are the same in both.
#[derive(Debug)]
pub struct Activations {
    /// The stream that all tasks share; of batch 0 where nothing reads it, see
    /// [`Activations::tasks`].
    pub shared: Tensor,
    /// One stream per task, once a layer has made them.
    pub per_task: Option<Tensor>,
}

impl Activations {
    /// A shared stream alone.
    pub fn shared(shared: Tensor) -> Self {
        Self { shared, per_task: None }
    }

    /// Streams of tasks, `[tasks, batch, .., dim]`, beside which nothing is shared any more: the
    /// shared stream has batch 0, and no layer computes it.
    pub fn tasks(per_task: Tensor) -> Self {
        Self { shared: none_of(&per_task), per_task: Some(per_task) }
    }

    /// Applies `f`, which must treat batch entries alike, to every stream.
    ///
    /// The task axis is folded into the batch axis, so `f` runs twice at most, whatever the
    /// number of tasks. The batch axis may change its length (windows), not its meaning.
    pub fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        match self.per_task.as_ref().map(|streams| over_tasks(streams, &f)) {
            Some(per_task) if self.shared.size()[0] == 0 => Self::tasks(per_task),
            per_task => Self { shared: f(&self.shared), per_task },
        }
    }

    /// Sum of two activations. A side without task streams adds its shared stream to every task.
    pub fn add(&self, other: &Activations) -> Self {
        let per_task = match (&self.per_task, &other.per_task) {
            (None, None) => None,
            (Some(a), Some(b)) => Some(a + b),
            (Some(a), None) => Some(a + &other.shared),
            (None, Some(b)) => Some(&self.shared + b),
        };
        match per_task {
            Some(sum) if [self, other].iter().any(|x| x.shared.size()[0] == 0) => Self::tasks(sum),
            per_task => Self { shared: &self.shared + &other.shared, per_task },
        }
    }

    /// The stream that task `index` reads: its own, or the shared one where it has none.
    pub fn task(&self, index: i64) -> Tensor {
        match &self.per_task {
            Some(streams) => streams.select(0, index),
            None => self.shared.shallow_clone(),
        }
    }

    /// The shared stream without the tasks'.
    pub fn without_tasks(&self) -> Self {
        Self::shared(self.shared.shallow_clone())
    }
}

/// A shared stream of batch 0 beside `per_task`.
fn none_of(per_task: &Tensor) -> Tensor {
    per_task.select(0, 0).narrow(0, 0, 0)
}

fn over_tasks(streams: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let tasks = streams.size()[0];
    let done = f(&streams.flatten(0, 1));
    let mut shape = done.size();
    shape[0] /= tasks;
    shape.insert(0, tasks);
    done.reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn random(shape: &[i64]) -> Tensor {
        let _drawing = crate::testing::drawing();
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn map_treats_every_task_like_the_shared_stream() {
        let x = Activations { shared: random(&[2, 4, 3]), per_task: Some(random(&[5, 2, 4, 3])) };
        let halves = x.map(|t| t.reshape([-1, 2, 3]) * 2.0);
        let per_task = halves.per_task.as_ref().unwrap();
        assert_eq!(per_task.size(), [5, 4, 2, 3]);
        for task in 0..5 {
            let alone = x.task(task).reshape([-1, 2, 3]) * 2.0;
            assert!(per_task.select(0, task).equal(&alone));
        }
    }

    #[test]
    fn streams_of_tasks_alone_pass_once() {
        let x = Activations::tasks(random(&[5, 2, 4, 3]));
        assert_eq!(x.shared.size(), [0, 4, 3]);
        let calls = std::cell::Cell::new(0);
        let y = x.map(|t| {
            calls.set(calls.get() + 1);
            t.reshape([-1, 2, 3]) * 2.0
        });
        assert_eq!((calls.get(), y.shared.size()), (1, vec![0, 2, 3]));
        let sum = y.add(&y);
        assert_eq!((sum.shared.size(), sum.task(4).size()), (vec![0, 2, 3], vec![4, 2, 3]));
        assert!(sum.task(4).equal(&(x.task(4).reshape([-1, 2, 3]) * 4.0)));
    }

    #[test]
    fn a_residual_without_tasks_reaches_every_task() {
        let x = Activations::shared(random(&[2, 4, 3]));
        let y = Activations { shared: random(&[2, 4, 3]), per_task: Some(random(&[3, 2, 4, 3])) };
        for sum in [x.add(&y), y.add(&x)] {
            assert!(sum.shared.equal(&(&x.shared + &y.shared)));
            for task in 0..3 {
                assert!(sum.task(task).equal(&(&x.shared + y.task(task))));
            }
        }
    }

    #[test]
    fn a_task_without_its_own_stream_reads_the_shared_one() {
        let x = Activations::shared(random(&[2, 4, 3]));
        assert!(x.task(7).equal(&x.shared));
    }
}
