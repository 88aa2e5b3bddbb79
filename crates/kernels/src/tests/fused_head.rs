//! Two layers of a head with a normalisation between them, and coarse maps that join before it.

use super::*;
use crate::layers::fused_head_by;

/// Sizes of a head: of the finest map and of those that join it, and channels before, within and
/// behind.
struct Shape {
    size: [i64; 2],
    coarse: Vec<[i64; 2]>,
    chans: [i64; 3],
}

/// So few numbers that none is so near 0 before the ReLU that rounding decides.
fn shapes() -> Vec<Shape> {
    let of = |size, coarse: &[[i64; 2]], chans| Shape { size, coarse: coarse.to_vec(), chans };
    vec![
        // Several strips and blocks, of which the last is not whole.
        of([6, 24], &[[3, 12], [2, 6], [1, 1]], [18, 1000, 1]),
        // One block with a rest of a vector, odd sizes, a map that is larger than the finest.
        of([7, 51], &[[13, 60]], [5, 77, 21]),
        // Rows that are longer than a strip, and no maps.
        of([3, 500], &[], [64, 100, 16]),
        // Narrow rows, several of which are a strip.
        of([50, 5], &[[25, 3]], [7, 300, 3]),
    ]
}

/// x, the weights of both layers, scale and shift of the normalisation, the bias of the second
/// layer, and the maps.
fn leaves(shape: &Shape, kind: Kind) -> Vec<Tensor> {
    let [input, hidden, out] = shape.chans;
    let own = |shape: &[i64], scale: f64, kind| {
        no_grad(|| random(shape, Kind::Float) * scale + 0.5 * scale).to_kind(kind)
    };
    let map = |[height, width]: [i64; 2], chans| own(&[3, height, width, chans], 2.0, kind);
    let mut all = vec![
        map(shape.size, input),
        own(&[hidden, input], 0.3, kind),
        own(&[out, hidden], 0.1, kind),
        own(&[hidden], 1.0, Kind::Float),
        own(&[hidden], 1.0, Kind::Float),
        own(&[out], 1.0, kind),
    ];
    all.extend(shape.coarse.iter().map(|&size| map(size, hidden)));
    all
}

fn stats(hidden: i64) -> [Tensor; 2] {
    let zero = Tensor::zeros([hidden], (Kind::Float, Device::Cpu));
    [zero.shallow_clone(), zero.ones_like()]
}

fn fused(t: &[Tensor], bias: &Tensor, stats: &[Tensor; 2], train: bool) -> Tensor {
    fused_by(true, t, bias, stats, train)
}

fn fused_by(always: bool, t: &[Tensor], bias: &Tensor, stats: &[Tensor; 2], train: bool) -> Tensor {
    let coarse: Vec<&Tensor> = t[6..].iter().collect();
    let (running_mean, running_var) = (&stats[0], &stats[1]);
    let (weight, shift) = (&t[3], &t[4]);
    let norm =
        BatchNorm { weight, bias: shift, running_mean, running_var, momentum: 0.1, eps: 1e-5 };
    let (first, last) = ((&t[1], Some(bias)), (&t[2], Some(&t[5])));
    fused_head_by(always, &t[0], &coarse, first, &norm, last, train)
}

/// The same in float64, layer by layer.
fn plain(t: &[Tensor], bias: &Tensor, stats: &[Tensor; 2], train: bool) -> Tensor {
    let wide = |t: &Tensor| t.to_kind(Kind::Double);
    let x = wide(&t[0]);
    let size = [x.size()[1], x.size()[2]];
    let hidden = t[6..].iter().fold(x.linear(&wide(&t[1]), Some(&wide(bias))), |sum, map| {
        let map = wide(map).permute([0, 3, 1, 2]);
        sum + map.upsample_bilinear2d(size, false, None, None).permute([0, 2, 3, 1])
    });
    let (scale, shift) = (wide(&t[3]), wide(&t[4]));
    let moments = stats.each_ref().map(wide);
    let (mean, var) = (Some(&moments[0]), Some(&moments[1]));
    let rows = hidden.flatten(0, 2);
    let normed =
        rows.batch_norm(Some(&scale), Some(&shift), mean, var, train, 0.1, 1e-5, false).relu();
    for (to, of) in stats.iter().zip(&moments) {
        no_grad(|| to.shallow_clone().copy_(of));
    }
    let y = normed.view(hidden.size().as_slice()).linear(&wide(&t[2]), Some(&wide(&t[5])));
    y.to_kind(t[0].kind())
}

#[test]
fn a_head_whose_hidden_layer_is_not_kept_is_that_of_its_layers() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        for shape in shapes() {
            let hidden = shape.chans[1];
            let all = leaves(&shape, kind);
            let all: Vec<&Tensor> = all.iter().collect();
            let bias = random(&[hidden], kind);
            let (own, expected) = (stats(hidden), stats(hidden));
            let fast = passes(&all, |t| fused(t, &bias, &own, true));
            // What is added to all pixels leaves with their mean.
            assert!(bias.grad().eq(0.0).all().int64_value(&[]) == 1);
            let slow = passes(&all, |t| plain(t, &bias, &expected, true));
            agree(&fast, &slow, tolerance);
            agree(&own, &expected, 1e-5);
            let known = no_grad(|| [fused, plain].map(|f| f(&detached(&all), &bias, &own, false)));
            agree(&known[..1], &known[1..], tolerance);
        }
    }
}

fn detached(all: &[&Tensor]) -> Vec<Tensor> {
    all.iter().map(|t| t.detach()).collect()
}

/// By the layers themselves: statistics that are known, and hidden layers that the rule leaves to
/// memory.
#[test]
fn known_statistics_and_small_maps_learn_too() {
    let _drawing = alone();
    let shape = Shape { size: [4, 6], coarse: vec![[2, 3]], chans: [9, 40, 2] };
    let all = leaves(&shape, Kind::Float);
    let all: Vec<&Tensor> = all.iter().collect();
    for (train, always) in [(true, false), (false, true)] {
        let (bias, own, expected) = (random(&[40], Kind::Float), stats(40), stats(40));
        let fast = passes(&all, |t| fused_by(always, t, &bias, &own, train));
        let slow = passes(&all, |t| plain(t, &bias, &expected, train));
        agree(&fast, &slow, 1e-5);
    }
}

#[test]
fn moments_far_from_zero_are_exact() {
    let _drawing = alone();
    let shape = shapes().remove(0);
    let mut all = leaves(&shape, Kind::Float);
    all[6] = no_grad(|| &all[6] + 3000.0);
    let all: Vec<&Tensor> = all.iter().collect();
    let hidden = shape.chans[1];
    let (bias, own, expected) = (random(&[hidden], Kind::Float), stats(hidden), stats(hidden));
    let _ = fused(&detached(&all), &bias, &own, true);
    let _ = plain(&detached(&all), &bias, &expected, true);
    agree(&own, &expected, 1e-4);
}
