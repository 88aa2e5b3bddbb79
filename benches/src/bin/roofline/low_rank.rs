//! Products with the factors that learn.

use polyptych_kernels::{linear, task_hidden, task_up};

use crate::call::{Call, random};
use crate::piece::Piece;
use crate::products::trained;
use crate::swin::{R, R_TASK, Stage, Swin};
use crate::work::{GELU, Work};

/// `B A x` of the factors that all tasks share, forward and back, at every adapted map; its sum
/// with the base product is not part of it.
pub(crate) fn shared(swin: &Swin) -> Piece {
    let call = |stage: &Stage, [from, to]: [i64; 2]| {
        let rows = stage.rows;
        let leaves =
            [[rows, from], [R, from], [to, R]].map(|shape| random(&shape, swin.kind)).into();
        let work = trained(rows, [from, R], swin.bytes) + trained(rows, [R, to], swin.bytes);
        Call::both(stage.depth, work, leaves, |t| linear(&linear(&t[0], &t[1], None), &t[2], None))
    };
    let all = swin.stages.iter().flat_map(|stage| stage.maps().map(|map| call(stage, map)));
    Piece::group("low-rank products", all.collect())
}

/// The tasks' terms on top of the base product, forward and back, in the last block of every stage:
/// at `proj`, where all tasks read the same, and at `fc2` from what [`hidden`] made.
pub(crate) fn of_tasks(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().flat_map(|stage| {
        let [_, proj, _, [_, to]] = stage.maps();
        [of_one_stream(swin, stage.rows, proj), up(swin, stage.rows, to)]
    });
    Piece::group("low-rank maps of tasks", calls.collect())
}

/// `base + B_t A_t x`: all `A_t` are one product.
fn of_one_stream(swin: &Swin, rows: i64, [from, to]: [i64; 2]) -> Call {
    let all = swin.tasks * R_TASK;
    let shapes: [&[i64]; 4] = [&[rows, from], &[rows, to], &[all, from], &[swin.tasks, to, R_TASK]];
    let leaves = shapes.map(|shape| random(shape, swin.kind)).into();
    let work = trained(rows, [from, all], swin.bytes) + up_work(swin, rows, to);
    let tasks = swin.tasks;
    Call::both(1, work, leaves, move |t| {
        let low = linear(&t[0], &t[2], None).view([rows, tasks, R_TASK]).transpose(0, 1);
        task_up(&low, Some(&t[1]), &t[3])
    })
}

/// `base + B_t l_t`.
fn up(swin: &Swin, rows: i64, to: i64) -> Call {
    let tasks = swin.tasks;
    let shapes: [&[i64]; 3] = [&[tasks, rows, R_TASK], &[rows, to], &[tasks, to, R_TASK]];
    let leaves = shapes.map(|shape| random(shape, swin.kind)).into();
    Call::both(1, up_work(swin, rows, to), leaves, |t| task_up(&t[0], Some(&t[1]), &t[2]))
}

/// Forward: low-rank images and the base are read, a sum for every task is written. Back: the
/// gradients that arrive and the images are read, gradients of images and base are written. The
/// factors are read twice, and their gradients are written.
fn up_work(swin: &Swin, rows: i64, to: i64) -> Work {
    let (tasks, factors) = (swin.tasks, swin.tasks * R_TASK * to);
    let (images, sums) = (tasks * rows * R_TASK, tasks * rows * to);
    let numbers = 3 * images + 2 * rows * to + 2 * sums + 3 * factors;
    Work::new(6 * rows * factors + 2 * sums, numbers, swin.bytes)
}

/// The hidden layers of tasks, forward and back, in the last block of every stage: `fc1` with its
/// terms, GELU, and the first factors of `fc2`. No hidden layer of a task is read or written.
pub(crate) fn hidden(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().map(|stage| {
        let (tasks, rows, [from, width]) = (swin.tasks, stage.rows, stage.maps()[2]);
        let shapes: [&[i64]; 5] = [
            &[tasks, rows, from],
            &[rows, width],
            &[tasks, R_TASK, from],
            &[tasks, width, R_TASK],
            &[tasks, R_TASK, width],
        ];
        let leaves = shapes.map(|shape| random(shape, swin.kind)).into();
        Call::both(1, hidden_work(swin, rows, [from, width]), leaves, |t| {
            task_hidden(&t[0], &t[1], (&t[2], &t[3]), &t[4])
        })
    });
    Piece::group("hidden layers of tasks", calls.collect())
}

/// `A_t x_t` as a product of its own. Then, for every hidden number of every task, forward a sum
/// over the factors of `fc1`, GELU and a sum over those of `fc2`; back the same first sum and GELU
/// again with its slope, since neither is held, and the gradients by both factors and both images.
/// The base is read each way and its gradient is written; images are read each way, theirs are
/// written forward for the one and back for the other; factors are read twice and learn.
fn hidden_work(swin: &Swin, rows: i64, [from, width]: [i64; 2]) -> Work {
    let tasks = swin.tasks;
    let down = trained(rows, [from, R_TASK], swin.bytes) * tasks;
    let forward = 4 * R_TASK + GELU[0];
    let back = 10 * R_TASK + GELU[1];
    let images = tasks * rows * R_TASK;
    let numbers = 3 * rows * width + 5 * images + 6 * tasks * R_TASK * width;
    down + Work::new((forward + back) * tasks * rows * width, numbers, swin.bytes)
}
