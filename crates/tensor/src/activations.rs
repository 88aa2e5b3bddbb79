//! The central type: what all tasks share, and what each task owns.
//!
//! Every method of the field is a rule about two streams. The task axis is the leading axis of
//! one tensor, never a map of tensors, so work for all tasks is one batched operation.

use tch::{Kind, Tensor};

/// Activations on their way through a network: which streams there are, and the streams.
///
/// A stream of all tasks is `[batch, .., dim]`, and those of tasks are `[tasks, batch, .., dim]`.
/// The axes between batch and dim are tokens, or height and width; they are the same in both.
#[derive(Debug)]
pub enum Activations {
    /// One stream, which every task reads.
    Shared(Tensor),
    /// A stream for each task, beside one that all share and that layers go on computing.
    Both {
        /// `[batch, .., dim]`.
        shared: Tensor,
        /// `[tasks, batch, .., dim]`.
        per_task: Tensor,
    },
    /// A stream for each task, `[tasks, batch, .., dim]`; nothing is shared any more.
    PerTask(Tensor),
}

impl Activations {
    /// The stream of all tasks, `[batch, .., dim]`, where there is one.
    pub fn shared(&self) -> Option<&Tensor> {
        match self {
            Self::Shared(shared) | Self::Both { shared, .. } => Some(shared),
            Self::PerTask(_) => None,
        }
    }

    /// The streams of tasks, `[tasks, batch, .., dim]`, where there are some.
    pub fn per_task(&self) -> Option<&Tensor> {
        match self {
            Self::Shared(_) => None,
            Self::Both { per_task, .. } | Self::PerTask(per_task) => Some(per_task),
        }
    }

    /// The stream of all tasks, for a layer that cannot do without.
    ///
    /// # Panics
    /// [`Activations::PerTask`]. Only a plan whose own layers make those meets them.
    pub fn expect_shared(&self) -> &Tensor {
        self.shared().expect("a stream that all tasks share, beside those of tasks")
    }

    /// As [`Activations::expect_shared`], by value.
    ///
    /// # Panics
    /// As there.
    pub fn into_shared(self) -> Tensor {
        self.expect_shared().shallow_clone()
    }

    /// Applies `f`, which must treat batch entries alike, to every stream.
    ///
    /// The task axis is merged into the batch axis, so `f` runs twice at most, whatever the
    /// number of tasks: for the streams of tasks, then for the shared one. The batch axis may
    /// change its length (windows), not its meaning.
    pub fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Shared(shared) => Self::Shared(f(shared)),
            Self::Both { shared, per_task } => {
                let per_task = over_tasks(per_task, &f);
                Self::Both { shared: f(shared), per_task }
            }
            Self::PerTask(per_task) => Self::PerTask(over_tasks(per_task, f)),
        }
    }

    /// Sum of two activations. A side without task streams adds its shared stream to every task;
    /// the sum has a shared stream where both sides have one.
    pub fn add(&self, other: &Activations) -> Self {
        let per_task = match (self, other) {
            (Self::Shared(a), Self::Shared(b)) => return Self::Shared(a + b),
            (Self::Shared(a), Self::Both { per_task: b, .. } | Self::PerTask(b))
            | (Self::Both { per_task: a, .. } | Self::PerTask(a), Self::Shared(b))
            | (
                Self::Both { per_task: a, .. } | Self::PerTask(a),
                Self::Both { per_task: b, .. } | Self::PerTask(b),
            ) => a + b,
        };
        match (self.shared(), other.shared()) {
            (Some(a), Some(b)) => Self::Both { shared: a + b, per_task },
            _ => Self::PerTask(per_task),
        }
    }

    /// The stream that task `index` reads: its own, or the shared one where it has none.
    pub fn task(&self, index: i64) -> Tensor {
        match self {
            Self::Shared(shared) => shared.shallow_clone(),
            Self::Both { per_task, .. } | Self::PerTask(per_task) => per_task.select(0, index),
        }
    }

    /// The shared stream without the tasks'.
    ///
    /// # Panics
    /// As [`Activations::expect_shared`].
    pub fn without_tasks(&self) -> Self {
        Self::Shared(self.expect_shared().shallow_clone())
    }

    /// The same streams with `per_task` as those of tasks.
    pub fn with_tasks(self, per_task: Tensor) -> Self {
        match self {
            Self::Shared(shared) | Self::Both { shared, .. } => Self::Both { shared, per_task },
            Self::PerTask(_) => Self::PerTask(per_task),
        }
    }

    /// The same tensors again.
    pub fn shallow_clone(&self) -> Self {
        self.each(Tensor::shallow_clone)
    }

    /// Shape of one stream, `[batch, .., dim]`: the same for all.
    pub fn size(&self) -> Vec<i64> {
        match self {
            Self::Shared(shared) | Self::Both { shared, .. } => shared.size(),
            Self::PerTask(per_task) => per_task.size().split_off(1),
        }
    }

    /// Type of the numbers: the same for all streams.
    pub fn kind(&self) -> Kind {
        self.any().kind()
    }

    /// Applies `f` to the tensors as they are, with the task axis.
    pub(crate) fn each(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        match self {
            Self::Shared(shared) => Self::Shared(f(shared)),
            Self::Both { shared, per_task } => {
                Self::Both { shared: f(shared), per_task: f(per_task) }
            }
            Self::PerTask(per_task) => Self::PerTask(f(per_task)),
        }
    }

    /// One of the tensors, for what is the same in all.
    pub(crate) fn any(&self) -> &Tensor {
        match self {
            Self::Shared(any) | Self::Both { shared: any, .. } | Self::PerTask(any) => any,
        }
    }
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
        let x = Activations::Both { shared: random(&[2, 4, 3]), per_task: random(&[5, 2, 4, 3]) };
        let halves = x.map(|t| t.reshape([-1, 2, 3]) * 2.0);
        let per_task = halves.per_task().unwrap();
        assert_eq!(per_task.size(), [5, 4, 2, 3]);
        for task in 0..5 {
            let alone = x.task(task).reshape([-1, 2, 3]) * 2.0;
            assert!(per_task.select(0, task).equal(&alone));
        }
    }

    #[test]
    fn streams_of_tasks_alone_pass_once() {
        let x = Activations::PerTask(random(&[5, 2, 4, 3]));
        assert_eq!(x.size(), [2, 4, 3]);
        let calls = std::cell::Cell::new(0);
        let y = x.map(|t| {
            calls.set(calls.get() + 1);
            t.reshape([-1, 2, 3]) * 2.0
        });
        assert_eq!((calls.get(), y.size()), (1, vec![4, 2, 3]));
        let sum = y.add(&y);
        assert!(sum.shared().is_none());
        assert!(sum.task(4).equal(&(x.task(4).reshape([-1, 2, 3]) * 4.0)));
    }

    #[test]
    fn nothing_is_shared_by_a_sum_with_streams_of_tasks_alone() {
        let own = random(&[3, 2, 4, 3]);
        let alone = Activations::PerTask(own.shallow_clone());
        let (shared, per_task) = (random(&[2, 4, 3]), random(&[3, 2, 4, 3]));
        let both = Activations::Both { shared: shared.shallow_clone(), per_task };
        for (x, expected) in [
            (&both, &own + both.per_task().unwrap()),
            (&Activations::Shared(shared.shallow_clone()), &own + &shared),
        ] {
            for sum in [x.add(&alone), alone.add(x)] {
                assert!(sum.shared().is_none() && sum.per_task().unwrap().equal(&expected));
            }
        }
    }

    #[test]
    fn a_residual_without_tasks_reaches_every_task() {
        let x = Activations::Shared(random(&[2, 4, 3]));
        let y = Activations::Both { shared: random(&[2, 4, 3]), per_task: random(&[3, 2, 4, 3]) };
        for sum in [x.add(&y), y.add(&x)] {
            assert!(sum.expect_shared().equal(&(x.expect_shared() + y.expect_shared())));
            for task in 0..3 {
                assert!(sum.task(task).equal(&(x.expect_shared() + y.task(task))));
            }
        }
    }

    #[test]
    fn a_task_without_its_own_stream_reads_the_shared_one() {
        let x = Activations::Shared(random(&[2, 4, 3]));
        assert!(x.task(7).equal(x.expect_shared()));
    }
}
