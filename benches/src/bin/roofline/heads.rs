//! What is done for one task after the other: the HRNet head, upsampling, the losses of classes.

use polyptych_benches::Subject;
use polyptych_data::TaskSpec;
use polyptych_heads::upsample;
use polyptych_kernels::{BatchNorm, fused_head, linear};
use polyptych_losses::{CrossEntropy, TaskLoss};
use polyptych_tensor::{Kind, Tensor};

use crate::call::{Call, random};
use crate::piece::Piece;
use crate::products::trained;
use crate::swin::Swin;
use crate::work::Work;

/// What each level is reduced to, and the width of the hidden layer: MTLoRA's.
const CHANNELS: [i64; 4] = [18, 36, 72, 144];
const HIDDEN: i64 = 4 * (18 + 36 + 72 + 144);

/// 1 x 1 convolutions on channels that come last, forward and back: what reduces each level, and the
/// hidden layer of coarse levels at their own size.
pub(crate) fn products(swin: &Swin) -> Piece {
    let levels = swin.levels().into_iter().zip(CHANNELS);
    let calls = levels.enumerate().flat_map(|(index, ([side, dim], chans))| {
        let rows = rows(swin, side);
        let hidden = (index > 0).then(|| product(swin, rows, [chans, HIDDEN]));
        std::iter::once(product(swin, rows, [dim, chans])).chain(hidden)
    });
    Piece::group("products of heads", calls.collect())
}

/// For every task.
fn product(swin: &Swin, rows: i64, [from, to]: [i64; 2]) -> Call {
    let leaves = vec![random(&[rows, from], swin.kind), random(&[to, from], swin.kind)];
    let work = trained(rows, [from, to], swin.bytes);
    Call::both(swin.tasks, work, leaves, |t| linear(&t[0], &t[1], None))
}

/// The hidden layer of the finest level, onto which that of coarse ones is resized bilinearly, its
/// batch normalisation and ReLU, and the outputs in the order that losses read; forward and back.
pub(crate) fn layers(swin: &Swin, subject: &Subject) -> Piece {
    let calls = subject.specs().into_iter().map(|spec| layers_of(swin, outputs(&spec)));
    Piece::group("layers of heads", calls.collect())
}

fn layers_of(swin: &Swin, outputs: i64) -> Call {
    let side = finest(swin);
    let map = |side, chans| random(&[swin.batch, side, side, chans], swin.kind);
    let coarse: Vec<Tensor> =
        swin.levels()[1..].iter().map(|[side, _]| map(*side, HIDDEN)).collect();
    let work = layers_work(swin, &coarse, outputs);
    let of_chans = |kind| random(&[HIDDEN], kind);
    let mut leaves = vec![
        map(side, CHANNELS[0]),
        random(&[HIDDEN, CHANNELS[0]], swin.kind),
        random(&[outputs, HIDDEN], swin.kind),
        random(&[outputs], swin.kind),
        of_chans(Kind::Float),
        of_chans(Kind::Float),
    ];
    leaves.extend(coarse);
    let (running_mean, running_var) = (of_chans(Kind::Float), of_chans(Kind::Float));
    Call::both(1, work, leaves, move |t| {
        let norm = BatchNorm {
            weight: &t[4],
            bias: &t[5],
            running_mean: &running_mean,
            running_var: &running_var,
            momentum: 0.1,
            eps: 1e-5,
        };
        let coarse: Vec<&Tensor> = t[6..].iter().collect();
        let output = (&t[2], Some(&t[3]));
        fused_head(&t[0], &coarse, (&t[1], None), &norm, output, true)
            .permute([0, 3, 1, 2])
            .to_kind(Kind::Float)
    })
}

/// Nothing of the hidden layer has to pass through memory.
fn layers_work(swin: &Swin, coarse: &[Tensor], outputs: i64) -> Work {
    let pixels = rows(swin, finest(swin));
    let to = pixels * HIDDEN;
    let from: i64 = coarse.iter().map(|level| level.numel() as i64).sum();
    // Three products with both weights. Four products and four sums a number and level to resize,
    // and as many back. The normalisation as LayerNorm, and a comparison each way.
    let flops = 6 * to * (CHANNELS[0] + outputs) + 16 * to * coarse.len() as i64 + 23 * to;
    // Maps are read each way and their gradients written; outputs are written, their gradient read.
    let numbers = 3 * (from + pixels * CHANNELS[0]) + 2 * pixels * outputs;
    Work::new(flops, numbers, swin.bytes)
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
