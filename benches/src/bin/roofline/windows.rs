//! Attention within windows, and the way of a map into windows and back.

use polyptych_kernels::{attention as attend, cut_windows, join_windows};

use crate::call::{Call, random};
use crate::piece::Piece;
use crate::swin::{Stage, Swin, WINDOW};
use crate::work::Work;

const AREA: i64 = WINDOW * WINDOW;

/// `softmax(q k^T / sqrt(d) + bias) v`, forward and back; shifted windows have a bias each.
pub(crate) fn attention(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().flat_map(|stage| {
        let windows = stage.windows()[1];
        let shifted = stage.shifted();
        [(stage.depth - shifted, 1), (shifted, windows)]
            .into_iter()
            .filter(|(times, _)| *times > 0)
            .map(|(times, biases)| attended(swin, stage, times, biases))
    });
    Piece::group("window attention", calls.collect())
}

fn attended(swin: &Swin, stage: &Stage, times: i64, biases: i64) -> Call {
    let (count, heads, rows, dim) = (stage.windows()[0], stage.heads, stage.rows, stage.dim);
    let leaves = vec![
        random(&[count, AREA, 3 * dim], swin.kind),
        random(&[biases, heads, AREA, AREA], swin.kind),
    ];
    let probabilities = count * heads * AREA * AREA;
    let bias = biases * heads * AREA * AREA;
    // Two products forward, four back; a probability costs a sum, an exponential and a quotient, and as
    // many back.
    let flops = 12 * rows * AREA * dim + 8 * probabilities;
    // Forward qkv, bias and output, back the gradient that arrives, qkv and the gradients of both;
    // probabilities are kept between the two.
    let numbers = (3 + 1 + 1 + 3 + 3) * rows * dim + 2 * bias + 2 * probabilities;
    Call::both(times, Work::new(flops, numbers, swin.bytes), leaves, move |t| {
        attend(&t[0], heads, Some(&t[1]))
    })
}

/// Cutting a map into windows and joining them, each forward and back, with the shift where there
/// is one; behind a block with task factors every stream is joined.
pub(crate) fn moves(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().flat_map(|stage| {
        let shifted = stage.shifted();
        let plain = stage.depth - shifted;
        [(plain, 0), (shifted, WINDOW / 2)]
            .into_iter()
            .filter(|(times, _)| *times > 0)
            .flat_map(|(times, shift)| moved(swin, stage, times, shift))
    });
    Piece::group("into windows and back", calls.collect())
}

fn moved(swin: &Swin, stage: &Stage, times: i64, shift: i64) -> Vec<Call> {
    let Stage { side, dim, .. } = *stage;
    // The last block is among the shifted ones where there are any.
    let is_last = (shift > 0) == (stage.shifted() > 0);
    let joins = times + if is_last { swin.tasks } else { 0 };
    let work = Work::new(0, 4 * stage.rows * dim, swin.bytes);
    let map = random(&[swin.batch, side, side, dim], swin.kind);
    let windows = random(&[stage.windows()[0], AREA, dim], swin.kind);
    let (whole, size, shift) = ([side; 2], [WINDOW; 2], [shift; 2]);
    vec![
        Call::both(times, work, vec![map], move |t| {
            cut_windows(&t[0], size, shift).expect("the map lies on the CPU")
        }),
        Call::both(joins, work, vec![windows], move |t| {
            join_windows(&t[0], whole, size, shift).expect("the windows lie on the CPU")
        }),
    ]
}
