//! Layers that read two activations at once.

use polyptych_tensor::{Activations, Tensor};

/// `f` of the streams of `a` and of `b`, which must treat batch entries alike. A side without task
/// streams stands for each of them.
pub(crate) fn combine(
    a: &Activations,
    b: &Activations,
    f: impl Fn(&Tensor, &Tensor) -> Tensor,
) -> Activations {
    let shared = a.shared().zip(b.shared()).map(|(a, b)| f(a, b));
    let tasks = [a, b].iter().find_map(|side| side.per_task()).map(|streams| streams.size()[0]);
    let Some(tasks) = tasks else {
        return Activations::Shared(f(a.expect_shared(), b.expect_shared()));
    };
    let done = f(&of_tasks(a, tasks), &of_tasks(b, tasks));
    let per_task = done.unflatten(0, [tasks, -1]);
    match shared {
        Some(shared) => Activations::Both { shared, per_task },
        None => Activations::PerTask(per_task),
    }
}

/// The streams of `tasks` tasks, `[tasks * batch, .., dim]`.
fn of_tasks(x: &Activations, tasks: i64) -> Tensor {
    match x.per_task() {
        Some(streams) => streams.flatten(0, 1),
        None => {
            let shared = x.expect_shared();
            let shape = [&[tasks], shared.size().as_slice()].concat();
            shared.unsqueeze(0).expand(shape, false).flatten(0, 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn a_side_without_streams_of_tasks_stands_for_each() {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let a = Activations::Shared(random(&[2, 4]));
        let b = Activations::Both { shared: random(&[2, 4]), per_task: random(&[3, 2, 4]) };
        let product = combine(&a, &b, |a, b| a * b);
        assert!(product.expect_shared().equal(&(a.expect_shared() * b.expect_shared())));
        assert!(product.task(2).equal(&(a.expect_shared() * b.task(2))));
        let alone = Activations::PerTask(b.per_task().unwrap().shallow_clone());
        assert!(combine(&alone, &a, |a, b| a * b).shared().is_none());
    }
}
