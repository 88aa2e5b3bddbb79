//! Maps of all tasks at once against each task alone.

use super::*;

#[test]
fn all_tasks_at_once_are_each_alone() {
    let _drawing = alone();
    for ((kind, tolerance), r) in TYPES.into_iter().flat_map(|of| [(of, 4), (of, 70)]) {
        let (x, base) = (random(&[3, 2, 7, 24], kind), random(&[2, 7, 70], kind));
        let (a, b) = (random(&[3, r, 24], kind), random(&[3, 70, r], kind));
        let all = [&x, &base, &a, &b];
        let fast = passes(&all, |t| task_low_rank(&gelu(&t[0]), &t[1], (&t[2], &t[3])));
        let plain = passes(&all, |t| {
            let one = |task: i64| {
                let of = |at: usize| t[at].select(0, task);
                let low = of(0).gelu("none").matmul(&of(2).tr());
                &t[1] + low.matmul(&of(3).tr())
            };
            Tensor::stack(&[one(0), one(1), one(2)], 0)
        });
        agree(&fast, &plain, tolerance);
    }
}

#[test]
fn terms_of_tasks_stand_alone() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let (low, b) = (random(&[3, 2, 7, 5], kind), random(&[3, 70, 5], kind));
        let fast = passes(&[&low, &b], |t| task_up(&t[0], None, &t[1]));
        let plain = passes(&[&low, &b], |t| t[0].matmul(&t[1].transpose(1, 2).unsqueeze(1)));
        agree(&fast, &plain, tolerance);
        let two = no_grad(|| task_up(&low.narrow(0, 1, 2), None, &b.narrow(0, 1, 2)));
        assert!(two.equal(&fast[0].narrow(0, 1, 2)));
    }
}

#[test]
fn a_hidden_layer_that_is_never_held_is_the_same() {
    let _drawing = alone();
    // Rows after one stretch, and columns after whole strips.
    for (kind, tolerance) in TYPES {
        let (x, base) = (random(&[3, 2, 150, 24], kind), random(&[2, 150, 150], kind));
        let (a, b) = (random(&[3, 4, 24], kind), random(&[3, 150, 4], kind));
        let next = random(&[3, 5, 150], kind);
        let all = [&x, &base, &a, &b, &next];
        let fast = passes(&all, |t| task_hidden(&t[0], &t[1], (&t[2], &t[3]), &t[4]));
        let plain = passes(&all, |t| {
            let hidden = task_low_rank(&t[0], &t[1], (&t[2], &t[3])).gelu("none");
            hidden.matmul(&t[4].transpose(1, 2).unsqueeze(1))
        });
        agree(&fast, &plain, tolerance);
    }
}
