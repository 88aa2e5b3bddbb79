//! Products with the backbone's own weights.

use polyptych_kernels::linear;

use crate::call::{Call, random};
use crate::piece::Piece;
use crate::swin::{Stage, Swin};
use crate::work::Work;

/// `x W^T + b` with frozen weights, at every adapted map.
pub(crate) fn forward(swin: &Swin) -> Piece {
    let call = |stage: Stage, [from, to]: [i64; 2]| {
        let (x, weight) = (random(&[stage.rows, from], swin.kind), random(&[to, from], swin.kind));
        let bias = random(&[to], swin.kind);
        let work = work(stage.rows, [from, to], swin.bytes) + Work::new(0, to, swin.bytes);
        Call::forward(stage.depth, work, move || linear(&x, &weight, Some(&bias)))
    };
    Piece::group("base products, forward", each(swin, call))
}

/// `g W`: the gradients of what those read.
pub(crate) fn input_gradient(swin: &Swin) -> Piece {
    let call = |stage: Stage, [from, to]: [i64; 2]| {
        let (g, weight) = (random(&[stage.rows, to], swin.kind), random(&[to, from], swin.kind));
        let work = work(stage.rows, [from, to], swin.bytes);
        Call::forward(stage.depth, work, move || linear(&g, &weight.tr(), None))
    };
    Piece::group("base products, input gradient", each(swin, call))
}

/// Patch merging of the shared stream and of every task, whose weights learn, forward and back.
pub(crate) fn merging(swin: &Swin) -> Piece {
    let call = |next: &Stage, streams: i64| {
        let (rows, from, to) = (next.rows * streams, 2 * next.dim, next.dim);
        let leaves = vec![random(&[rows, from], swin.kind), random(&[to, from], swin.kind)];
        Call::both(1, trained(rows, [from, to], swin.bytes), leaves, |t| linear(&t[0], &t[1], None))
    };
    let streams = |next| [1, swin.tasks].map(|streams| call(next, streams));
    Piece::group("patch merging products", swin.stages[1..].iter().flat_map(streams).collect())
}

fn each(swin: &Swin, call: impl Fn(Stage, [i64; 2]) -> Call) -> Vec<Call> {
    let all = swin.stages.iter().flat_map(|&stage| stage.maps().map(|map| (stage, map)));
    all.map(|(stage, map)| call(stage, map)).collect()
}

/// One product of `rows` with a matrix.
pub(crate) fn work(rows: i64, [from, to]: [i64; 2], bytes: i64) -> Work {
    Work::new(2 * rows * from * to, rows * (from + to) + from * to, bytes)
}

/// A product forward, and the gradients of its input and of its matrix: each reads two and writes
/// the third, but what goes back reads the gradient that arrives once.
pub(crate) fn trained(rows: i64, [from, to]: [i64; 2], bytes: i64) -> Work {
    let back = Work::new(4 * rows * from * to, rows * (2 * from + to) + 2 * from * to, bytes);
    work(rows, [from, to], bytes) + back
}
