//! Operations that do little with each number: norms, activations, dropout. Memory is what they
//! wait for.

use anyhow::Result;
use polyptych_kernels::gelu as activate;
use polyptych_tensor::{Device, LayerNorm, Store, Tensor, add_branch, dropout as drop_numbers};

use crate::call::{Call, random};
use crate::piece::Piece;
use crate::swin::{DROP_PATH, DROPOUT, Stage, Swin};
use crate::work::{GELU, Work};

/// Layer normalisation, forward and back, its weights learning: behind the patch embedding, twice a
/// block, in front of patch merging.
pub(crate) fn layer_norm(swin: &Swin) -> Result<Piece> {
    let mut calls = Vec::new();
    for [times, rows, dim] in normed(swin) {
        let store = Store::new(Device::Cpu);
        let norm = LayerNorm::new(&store.root(), dim, 1e-5)?;
        // Mean, variance, the quotient and two affine steps; back the two means over a row and the
        // gradients of weight and bias.
        let (numbers, weights) = (rows * dim, 2 * dim);
        let work = Work::new(21 * numbers, 5 * numbers + 3 * weights, swin.bytes);
        let leaves = vec![random(&[rows, dim], swin.kind)];
        calls.push(Call::both(times, work, leaves, move |t| norm.forward(&t[0])));
    }
    Ok(Piece::group("LayerNorm", calls))
}

/// Times, rows and width of every norm: the second norm of a last block, and those in front of
/// patch merging, read the shared stream and those of all tasks.
fn normed(swin: &Swin) -> Vec<[i64; 3]> {
    let tasks = swin.tasks;
    let first = swin.stages[0];
    let of_blocks = swin.stages.iter().flat_map(|stage| {
        let Stage { depth, rows, dim, .. } = *stage;
        [[2 * depth, rows, dim], [1, rows * tasks, dim]]
    });
    let merging = swin.stages[1..].iter().flat_map(|next| {
        let Stage { rows, dim, .. } = *next;
        [[1, rows, 2 * dim], [1, rows * tasks, 2 * dim]]
    });
    std::iter::once([1, first.rows, first.dim]).chain(of_blocks).chain(merging).collect()
}

/// GELU of the shared stream between `fc1` and `fc2`, forward and back. But for the last block of
/// a stage its result is not kept: `fc2` forms it again for the gradient of its factors, which
/// takes time here and counts as no work.
pub(crate) fn gelu(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().flat_map(|stage| {
        let Stage { depth, rows, dim, .. } = *stage;
        let numbers = 4 * rows * dim;
        // Read, written, and read twice and written again.
        let work = Work::new(GELU.iter().sum::<i64>() * numbers, 5 * numbers, swin.bytes);
        let x = random(&[rows, 4 * dim], swin.kind);
        let source = x.shallow_clone();
        [
            Call::both(depth, work, vec![x], |t| activate(&t[0])),
            Call::forward(depth - 1, Work::default(), move || activate(&source)),
        ]
    });
    Piece::group("GELU", calls.collect())
}

/// Residual sums with stochastic depth, forward and back: two a block, of the streams of tasks in
/// last blocks too, whose first sums read the shared stream. Going back, the gradient of a sum and
/// that of the branch meet at what both read.
pub(crate) fn residual_sums(swin: &Swin) -> Piece {
    let call = |times: i64, stage: &Stage, [onto, streams]: [i64; 2]| {
        let entry = stage.side * stage.side * stage.dim;
        let [from, to] = [onto, streams].map(|streams| streams * swin.batch * entry);
        let shape = |streams: i64| [streams * swin.batch, stage.side * stage.side, stage.dim];
        let leaves = [onto, streams].map(|streams| random(&shape(streams), swin.kind)).into();
        // Forward x and the branch are read and the sum is written, back its gradient and the one
        // that it meets are read, those of x and of the branch are written.
        let work = Work::new(4 * to, 3 * from + 4 * to, swin.bytes);
        Call::forked(times, work, leaves, |t| {
            vec![add_branch(&t[0], &t[1], DROP_PATH, true), t[0].view_as(&t[0])]
        })
    };
    let calls = swin.stages.iter().flat_map(|stage| {
        let tasks = swin.tasks;
        let streams = [(2 * stage.depth, [1, 1]), (1, [1, tasks]), (1, [tasks, tasks])];
        streams.map(|(times, counts)| call(times, stage, counts))
    });
    Piece::group("residual sums", calls.collect())
}

/// Dropout in front of the factors, forward and back, at every adapted map.
pub(crate) fn dropout(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().flat_map(|stage| {
        let Stage { depth, rows, dim, .. } = *stage;
        [(3 * depth, dim), (depth, 4 * dim)].map(|(times, width)| {
            let numbers = rows * width;
            let work = Work::new(2 * numbers, 4 * numbers, swin.bytes);
            let leaves = vec![random(&[rows, width], swin.kind)];
            Call::both(times, work, leaves, |t: &[Tensor]| drop_numbers(&t[0], DROPOUT, true))
        })
    });
    Piece::group("dropout", calls.collect())
}
