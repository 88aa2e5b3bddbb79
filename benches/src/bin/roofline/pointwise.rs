//! Operations that do little with each number: norms, activations, dropout. Memory is what they
//! wait for.

use anyhow::Result;
use polyptych_tensor::{
    Device, LayerNorm, Store, Tensor, dropout as drop_numbers, gelu as activate,
};

use crate::call::{Call, learnt, random};
use crate::piece::Piece;
use crate::swin::{DROPOUT, Stage, Swin};
use crate::work::Work;

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
        let with = (leaves, learnt(&store));
        calls.push(Call::learning(times, work, with, move |t| norm.forward(&t[0])));
    }
    Ok(Piece::group("LayerNorm", calls))
}

/// Times, rows and width of every norm: the second norm of a last block reads every stream.
fn normed(swin: &Swin) -> Vec<[i64; 3]> {
    let streams = 1 + swin.tasks;
    let first = swin.stages[0];
    let of_blocks = swin.stages.iter().flat_map(|stage| {
        let Stage { depth, rows, dim, .. } = *stage;
        [[2 * depth - 1, rows, dim], [1, rows * streams, dim]]
    });
    let merging = swin.stages[1..].iter().map(|next| [1, next.rows * streams, 2 * next.dim]);
    std::iter::once([1, first.rows, first.dim]).chain(of_blocks).chain(merging).collect()
}

/// GELU between `fc1` and `fc2`, forward and back, on every stream of a last block.
pub(crate) fn gelu(swin: &Swin) -> Piece {
    let calls = swin.stages.iter().flat_map(|stage| {
        let Stage { depth, rows, dim, .. } = *stage;
        [(depth, 4 * rows * dim), (1, swin.tasks * 4 * rows * dim)].map(|(times, numbers)| {
            // Five operations forward, ten back; read, written, and read twice and written again.
            let work = Work::new(15 * numbers, 5 * numbers, swin.bytes);
            let leaves = vec![random(&[numbers / (4 * dim), 4 * dim], swin.kind)];
            Call::both(times, work, leaves, |t| activate(&t[0]))
        })
    });
    Piece::group("GELU", calls.collect())
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
