//! What is done for one task after the other: the HRNet head, upsampling, the losses of classes.

use anyhow::Result;
use polyptych_benches::Subject;
use polyptych_data::TaskSpec;
use polyptych_heads::upsample;
use polyptych_kernels::{linear, upsample as onto_finest};
use polyptych_losses::{CrossEntropy, TaskLoss};
use polyptych_tensor::{BatchNorm2d, Device, Kind, Store, Tensor};

use crate::call::{Call, random};
use crate::piece::Piece;
use crate::products::trained;
use crate::swin::Swin;
use crate::work::Work;

/// What each level is reduced to, and the width of the hidden layer: MTLoRA's.
const CHANNELS: [i64; 4] = [18, 36, 72, 144];
const HIDDEN: i64 = 4 * (18 + 36 + 72 + 144);

/// 1 x 1 convolutions on channels that come last, forward and back. The hidden layer is computed
/// from every level at its own size. Outputs are put into the order that losses read.
pub(crate) fn products(swin: &Swin, subject: &Subject) -> Piece {
    let levels = swin.levels().into_iter().zip(CHANNELS);
    let inner = levels.flat_map(|([side, dim], chans)| {
        let rows = rows(swin, side);
        [product(swin, rows, [dim, chans]), product(swin, rows, [chans, HIDDEN])]
    });
    let outer = subject.specs().into_iter().map(|spec| output(swin, outputs(&spec)));
    Piece::group("products of heads", inner.chain(outer).collect())
}

/// For every task.
fn product(swin: &Swin, rows: i64, [from, to]: [i64; 2]) -> Call {
    let leaves = vec![random(&[rows, from], swin.kind), random(&[to, from], swin.kind)];
    let work = trained(rows, [from, to], swin.bytes);
    Call::both(swin.tasks, work, leaves, |t| linear(&t[0], &t[1], None))
}

fn output(swin: &Swin, outputs: i64) -> Call {
    let side = finest(swin);
    let shapes: [&[i64]; 3] = [&[swin.batch, side, side, HIDDEN], &[outputs, HIDDEN], &[outputs]];
    let leaves = shapes.map(|shape| random(shape, swin.kind)).into();
    let work = trained(rows(swin, side), [HIDDEN, outputs], swin.bytes);
    Call::both(1, work, leaves, |t| {
        linear(&t[0], &t[1], Some(&t[2])).permute([0, 3, 1, 2]).to_kind(Kind::Float)
    })
}

/// Batch normalisation with its ReLU, forward and back.
pub(crate) fn norm(swin: &Swin) -> Result<Piece> {
    let store = Store::new(Device::Cpu);
    let norm = BatchNorm2d::new(&store.root(), HIDDEN)?;
    let x = random(&[rows(swin, finest(swin)), HIDDEN], swin.kind);
    let numbers = x.numel() as i64;
    // As LayerNorm, and a comparison each way.
    let work = Work::new(23 * numbers, 5 * numbers, swin.bytes);
    let forward = move |t: &[Tensor]| {
        norm.forward_relu(&t[0], true).expect("a single process shares no statistics")
    };
    let call = Call::both(swin.tasks, work, vec![x], forward);
    Ok(Piece::group("batch norm and ReLU", vec![call]))
}

/// Bilinear upsampling of the hidden layer of coarse levels onto that of the finest, forward and
/// back.
pub(crate) fn fusing(swin: &Swin) -> Piece {
    let size = [finest(swin); 2];
    let map = |[side, _]: [i64; 2]| random(&[swin.batch, side, side, HIDDEN], swin.kind);
    let mut coarse: Vec<Tensor> = swin.levels().into_iter().map(map).collect();
    let onto = coarse.remove(0);
    let to = onto.numel() as i64;
    let from: i64 = coarse.iter().map(|level| level.numel() as i64).sum();
    // Four products and four sums a number and level, and as many back. The gradient of the finest
    // is the one that arrives, so nothing is left to form.
    let work = Work::new(16 * to * coarse.len() as i64, 3 * to + 2 * from, swin.bytes);
    let call = Call::both(swin.tasks, work, coarse, move |t| {
        onto_finest(&t.iter().collect::<Vec<_>>(), Some(&onto), size)
    });
    Piece::group("upsampling in heads", vec![call])
}

/// Bilinear upsampling of outputs to the image, forward and back, in float32.
pub(crate) fn upsampling(swin: &Swin, subject: &Subject) -> Piece {
    let (side, size) = (finest(swin), swin.size);
    let call = |spec: TaskSpec| {
        let maps = swin.batch * outputs(&spec);
        let x = random(&[swin.batch, side, side, outputs(&spec)], Kind::Float);
        // Four products and three sums a number, and four of each back.
        let [from, to] = [side, size].map(|side| maps * side * side);
        let work = Work::new(15 * to, 2 * (from + to), 4);
        Call::both(1, work, vec![x], move |t| {
            let map = t[0].permute([0, 3, 1, 2]);
            upsample(&map, [size, size]).expect("a map has four axes")
        })
    };
    Piece::group("upsampling to the image", subject.specs().into_iter().map(call).collect())
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

/// Positions of a side of the finest level.
fn finest(swin: &Swin) -> i64 {
    swin.levels()[0][0]
}

fn rows(swin: &Swin, side: i64) -> i64 {
    swin.batch * side * side
}

/// Numbers of a pixel.
fn outputs(spec: &TaskSpec) -> i64 {
    spec.num_outputs() as i64
}
