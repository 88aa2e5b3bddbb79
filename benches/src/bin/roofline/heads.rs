//! What is done for one task after the other: the HRNet head, upsampling, the losses of classes.

use anyhow::Result;
use polyptych_benches::Subject;
use polyptych_data::TaskSpec;
use polyptych_heads::upsample;
use polyptych_losses::{CrossEntropy, TaskLoss};
use polyptych_tensor::{BatchNorm2d, Device, Kind, Store, Tensor, linear};

use crate::call::{Call, learnt, random};
use crate::piece::Piece;
use crate::products::trained;
use crate::swin::Swin;
use crate::work::Work;

/// What each level is reduced to, and the width of the hidden layer: MTLoRA's.
const CHANNELS: [i64; 4] = [18, 36, 72, 144];
const HIDDEN: i64 = 4 * (18 + 36 + 72 + 144);

/// 1 x 1 convolutions on channels that come last, forward and back.
pub(crate) fn products(swin: &Swin, subject: &Subject) -> Piece {
    let levels = swin.levels().into_iter().zip(CHANNELS);
    let mut maps: Vec<[i64; 4]> =
        levels.map(|([side, dim], chans)| [swin.tasks, rows(swin, side), dim, chans]).collect();
    let finest = rows(swin, swin.levels()[0][0]);
    maps.push([swin.tasks, finest, CHANNELS.iter().sum(), HIDDEN]);
    maps.extend(subject.specs().iter().map(|spec| [1, finest, HIDDEN, outputs(spec)]));
    let call = |[times, rows, from, to]: [i64; 4]| {
        let leaves = vec![random(&[rows, from], swin.kind), random(&[to, from], swin.kind)];
        let work = trained(rows, [from, to], swin.bytes);
        Call::both(times, work, leaves, |t| linear(&t[0], &t[1], None))
    };
    Piece::group("products of heads", maps.into_iter().map(call).collect())
}

/// Batch normalisation with its ReLU, forward and back.
pub(crate) fn norm(swin: &Swin) -> Result<Piece> {
    let store = Store::new(Device::Cpu);
    let norm = BatchNorm2d::new(&store.root(), HIDDEN)?;
    let x = random(&[rows(swin, swin.levels()[0][0]), HIDDEN], swin.kind);
    let numbers = x.numel() as i64;
    // As LayerNorm, and a comparison each way.
    let work = Work::new(23 * numbers, 5 * numbers, swin.bytes);
    let with = (vec![x], learnt(&store));
    let call = Call::learning(swin.tasks, work, with, move |t| norm.forward_relu(&t[0], true));
    Ok(Piece::group("batch norm and ReLU", vec![call]))
}

/// Bilinear upsampling of the coarse levels to the finest, forward and back.
pub(crate) fn fusing(swin: &Swin) -> Piece {
    let levels = swin.levels();
    let finest = levels[0][0];
    let call = |([side, _], chans): ([i64; 2], i64)| {
        let x = random(&[swin.batch, side, side, chans], swin.kind);
        resized(swin.tasks, x, finest, swin.bytes)
    };
    let coarse = levels.into_iter().zip(CHANNELS).skip(1);
    Piece::group("upsampling in heads", coarse.map(call).collect())
}

/// Bilinear upsampling of outputs to the image, forward and back, in float32.
pub(crate) fn upsampling(swin: &Swin, subject: &Subject) -> Piece {
    let side = swin.levels()[0][0];
    let call = |spec: &TaskSpec| {
        let x = random(&[swin.batch, side, side, outputs(spec)], Kind::Float);
        resized(1, x, swin.size, 4)
    };
    Piece::group("upsampling to the image", subject.specs().iter().map(call).collect())
}

/// `x` has its channels last. Four products and three sums a number, each way.
fn resized(times: i64, x: Tensor, size: i64, bytes: i64) -> Call {
    let (from, shape) = (x.numel() as i64, x.size());
    let to = shape[0] * shape[3] * size * size;
    let work = Work::new(14 * to, 2 * (from + to), bytes);
    Call::both(times, work, vec![x], move |t| {
        let map = t[0].permute([0, 3, 1, 2]);
        upsample(&map, [size, size]).expect("a map has four axes")
    })
}

/// Cross entropy of the tasks of classes at the size of the image, forward and back, in float32.
pub(crate) fn cross_entropy(swin: &Swin, subject: &Subject) -> Piece {
    let call = |spec: TaskSpec| {
        let (classes, target) = (outputs(&spec), subject.target(&spec));
        let pixels = swin.batch * swin.size * swin.size;
        let logits = random(&[swin.batch, classes, swin.size, swin.size], Kind::Float);
        // A difference, an exponential and a sum a logit, a quotient and a difference back; logits
        // and labels are read each way, gradients written.
        let work = Work::new(5 * pixels * classes, pixels * (3 * classes + 2), 4);
        Call::both(1, work, vec![logits], move |t| {
            let value = CrossEntropy::default().forward(&t[0], &target);
            value.expect("labels fit their map").loss
        })
    };
    let specs = subject.specs().into_iter().filter(|spec| !spec.classes.is_empty());
    Piece::group("cross entropy", specs.map(call).collect())
}

fn rows(swin: &Swin, side: i64) -> i64 {
    swin.batch * side * side
}

/// Numbers of a pixel.
fn outputs(spec: &TaskSpec) -> i64 {
    spec.num_outputs() as i64
}
