//! Products with the factors that learn.

use polyptych_tensor::{linear, task_low_rank};

use crate::call::{Call, random};
use crate::piece::Piece;
use crate::products::trained;
use crate::swin::{R, R_TASK, Stage, Swin};
use crate::work::Work;

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

/// The tasks' terms on top of the base product, forward and back, at `proj`, where all tasks read
/// the same, and at `fc1` and `fc2` of the last block of every stage.
pub(crate) fn of_tasks(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().flat_map(|stage| {
        let [_, proj, fc1, fc2] = stage.maps();
        [of_one_stream(swin, stage.rows, proj), mapped(swin, stage, fc1), mapped(swin, stage, fc2)]
    });
    Piece::group("low-rank maps of tasks", calls.collect())
}

fn mapped(swin: &Swin, stage: &Stage, map: [i64; 2]) -> Call {
    let ([from, to], tasks, rows) = (map, swin.tasks, stage.rows);
    let shapes: [&[i64]; 4] =
        [&[tasks, rows, from], &[rows, to], &[tasks, R_TASK, from], &[tasks, to, R_TASK]];
    let leaves = shapes.map(|shape| random(shape, swin.kind)).into();
    let work = work(swin, rows, map, tasks);
    Call::both(1, work, leaves, |t| task_low_rank(&t[0], &t[1], (&t[2], &t[3])))
}

fn of_one_stream(swin: &Swin, rows: i64, map: [i64; 2]) -> Call {
    let ([from, to], tasks) = (map, swin.tasks);
    let shapes: [&[i64]; 4] =
        [&[rows, from], &[rows, to], &[tasks * R_TASK, from], &[tasks, to, R_TASK]];
    let leaves = shapes.map(|shape| random(shape, swin.kind)).into();
    Call::both(1, work(swin, rows, map, 1), leaves, move |t| {
        let down = linear(&t[0], &t[2], None).view([-1, tasks, R_TASK]).transpose(0, 1);
        down.bmm(&t[3].transpose(1, 2)) + &t[1]
    })
}

/// Forward: `streams` inputs and the base are read, a sum for every task is written. Back: the
/// gradients that arrive and the inputs are read, gradients of inputs and base are written.
fn work(swin: &Swin, rows: i64, [from, to]: [i64; 2], streams: i64) -> Work {
    let tasks = swin.tasks;
    let factors = tasks * R_TASK * (from + to);
    let forward = streams * rows * from + rows * to + tasks * rows * to + factors;
    let back = tasks * rows * to + 2 * streams * rows * from + rows * to + 2 * factors;
    let flops = 6 * rows * factors + 2 * tasks * rows * to;
    Work::new(flops, forward + back, swin.bytes)
}
