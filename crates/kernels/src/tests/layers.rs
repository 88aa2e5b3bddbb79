//! Activations, dropout, norms and resizing against those of LibTorch.

use super::*;

#[test]
fn gelu_is_that_of_libtorch_far_out_too() {
    for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 5e-3)] {
        // Numbers after a whole batch of vectors.
        let x = Tensor::linspace(-9.0, 9.0, 1003, (Kind::Float, Device::Cpu)).to_kind(kind);
        let fast = passes(&[&x], |t| gelu(&t[0]));
        agree(&fast, &passes(&[&x], |t| t[0].gelu("none")), tolerance);
        let wild = Tensor::from_slice(&[f32::NAN, 40.0, -40.0]).to_kind(kind);
        let values = Vec::<f32>::try_from(gelu(&wild).to_kind(Kind::Float)).unwrap();
        assert!(values[0].is_nan() && values[1] == 40.0 && values[2].abs() < 1e-5, "{values:?}");
    }
}

#[test]
fn dropout_keeps_its_share_and_repeats_with_its_seed() {
    let _drawing = alone();
    let x = Tensor::ones([400, 500], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let draw = |seed| {
        manual_seed(seed);
        dropout(&x, 0.05)
    };
    let y = draw(1);
    assert!(y.equal(&draw(1)) && !y.equal(&draw(2)));
    for axis in [0, 1] {
        let kept = y.gt(0.0).to_kind(Kind::Float).mean_dim([axis].as_slice(), false, Kind::Float);
        let apart = (kept - 0.95).abs().max().double_value(&[]);
        assert!(apart < 0.06, "{apart}");
    }
    let kept = y.gt(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
    assert!((kept - 0.95).abs() < 0.002, "{kept}");
    y.sum(Kind::Float).backward();
    assert!(x.grad().equal(&y.detach()));
    let half = draw(1).to_kind(Kind::BFloat16);
    manual_seed(1);
    assert!(dropout(&x.to_kind(Kind::BFloat16), 0.05).equal(&half));
}

#[test]
fn neighbours_fall_independently() {
    let _drawing = alone();
    manual_seed(3);
    let x = Tensor::ones([1 << 20], (Kind::Float, Device::Cpu));
    let fallen = dropout(&x, 0.5).eq(0.0).to_kind(Kind::Float) - 0.5;
    let count = fallen.size()[0];
    for lag in [1, 2, 64, 768, 3072] {
        let pairs = fallen.narrow(0, 0, count - lag) * fallen.narrow(0, lag, count - lag);
        let correlation = pairs.mean(Kind::Float).double_value(&[]) * 4.0;
        assert!(correlation.abs() < 0.005, "lag {lag}: {correlation}");
    }
}

#[test]
fn normalisation_and_relu_are_those_of_libtorch() {
    let _drawing = alone();
    // Blocks of rows and vectors of channels: whole, with a rest, and fewer channels than one has.
    let shapes = [[300, 70], [128, 32], [5, 16], [9, 5]];
    for ((kind, tolerance), shape) in TYPES.into_iter().flat_map(|of| shapes.map(|at| (of, at))) {
        let x = no_grad(|| random(&shape, Kind::Float) * 2.0 + 5.0).to_kind(kind);
        let chans = shape[1];
        let (weight, bias) = (random(&[chans], Kind::Float), random(&[chans], Kind::Float));
        let zero = Tensor::zeros([chans], (Kind::Float, Device::Cpu));
        let stats = || [zero.copy(), zero.ones_like()];
        let [mean, var] = stats();
        let fast = passes(&[&x, &weight, &bias], |t| {
            let norm = BatchNorm {
                weight: &t[1],
                bias: &t[2],
                running_mean: &mean,
                running_var: &var,
                momentum: 0.1,
                eps: 1e-5,
            };
            batch_norm_relu(&t[0], &norm, true)
        });
        let [plain_mean, plain_var] = stats();
        let plain = passes(&[&x, &weight, &bias], |t| {
            let (mean, var) = (Some(&plain_mean), Some(&plain_var));
            let wide = t[0].to_kind(Kind::Float);
            let norm = wide.batch_norm(Some(&t[1]), Some(&t[2]), mean, var, true, 0.1, 1e-5, false);
            norm.relu().to_kind(kind)
        });
        agree(&fast, &plain, tolerance);
        agree(&[mean, var], &[plain_mean, plain_var], 1e-5);
    }
}

#[test]
fn a_branch_joins_scaled_and_for_every_task() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let (x, branch) = (random(&[2, 7, 33], kind), random(&[6, 7, 33], kind));
        let factors = Tensor::from_slice(&[0.0f32, 1.25, 1.25, 0.0, 1.25, 1.25]);
        for factors in [Some(&factors), None] {
            let fast = passes(&[&x, &branch], |t| add_branch(&t[0], &t[1], factors));
            let plain = passes(&[&x, &branch], |t| {
                let scale = factors.map(|f| f.view([6, 1, 1]).to_kind(kind));
                let scaled = scale.map_or_else(|| t[1].shallow_clone(), |f| &t[1] * f);
                t[0].repeat([3, 1, 1]) + scaled
            });
            agree(&fast, &plain, tolerance);
        }
    }
}

#[test]
fn resizing_is_that_of_libtorch() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let levels = [random(&[2, 5, 3, 20], kind), random(&[2, 1, 4, 20], kind)];
        let onto = random(&[2, 12, 7, 20], kind);
        let all = [&levels[0], &levels[1], &onto];
        let fast = passes(&all, |t| upsample(&[&t[0], &t[1]], Some(&t[2]), [12, 7]));
        let plain = passes(&all, |t| {
            let [a, b] = [0, 1].map(|at: usize| {
                let map = t[at].permute([0, 3, 1, 2]).to_kind(Kind::Float);
                map.upsample_bilinear2d([12, 7], false, None, None).permute([0, 2, 3, 1])
            });
            (a + b + &t[2]).to_kind(kind)
        });
        agree(&fast, &plain, tolerance);
        // Smaller than before, and alone.
        let alone = |x: &Tensor, size: [i64; 2]| {
            let fast = passes(&[x], |t| upsample(&[&t[0]], None, size));
            let plain = passes(&[x], |t| {
                let map = t[0].permute([0, 3, 1, 2]).to_kind(Kind::Float);
                let map = map.upsample_bilinear2d(size, false, None, None);
                map.permute([0, 2, 3, 1]).to_kind(kind)
            });
            agree(&fast, &plain, tolerance);
        };
        alone(&levels[0], [2, 2]);
        // Several vectors of channels at once, fewer channels than a vector has, single planes.
        alone(&random(&[2, 5, 3, 70], kind), [11, 6]);
        alone(&random(&[2, 5, 3, 5], kind), [11, 6]);
        // More channels than are summed together, and rows that nothing reads.
        alone(&random(&[1, 3, 2, 1100], kind), [7, 5]);
        alone(&random(&[1, 9, 2, 70], kind), [2, 3]);
        for (from, to) in [([7, 5], [21, 90]), ([9, 70], [4, 20]), ([3, 40], [8, 5])] {
            alone(&random(&[3, from[0], from[1], 1], kind), to);
        }
    }
}

#[test]
fn planes_are_filtered_as_by_convolutions() {
    let _drawing = alone();
    let taps = [0.05, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05];
    let weight = Tensor::from_slice(&taps);
    // Several vectors at once, one, and fewer numbers than a vector has; fewer rows than taps.
    let sizes = [[2, 3, 9, 70], [1, 2, 3, 21], [1, 2, 12, 5]];
    for ((kind, tolerance), size) in TYPES.into_iter().flat_map(|of| sizes.map(|size| (of, size))) {
        let planes = random(&size, kind);
        let fast = passes(&[&planes], |t| filter_planes(&t[0], &taps));
        let plain = passes(&[&planes], |t| {
            let along = |map: Tensor, shape: [i64; 4], padding: [i64; 2]| {
                let weight = weight.to_kind(Kind::Float).view(shape);
                map.conv2d(&weight, None::<&Tensor>, [1, 1], padding, [1, 1], 1)
            };
            let map = t[0].to_kind(Kind::Float).flatten(0, 1).unsqueeze(1);
            let map = along(along(map, [1, 1, 7, 1], [3, 0]), [1, 1, 1, 7], [0, 3]);
            map.view(size).to_kind(kind)
        });
        agree(&fast, &plain, tolerance);
    }
}

#[test]
fn layers_are_normalised_as_by_libtorch() {
    let _drawing = alone();
    // Rows of whole vectors and others; rows after those that take turns.
    for ((kind, tolerance), width) in TYPES.into_iter().flat_map(|of| [(of, 70), (of, 96)]) {
        let x = no_grad(|| random(&[3, 101, width], Kind::Float) * 2.0 + 5.0).to_kind(kind);
        let (weight, bias) = (random(&[width], Kind::Float), random(&[width], Kind::Float));
        let all = [&x, &weight, &bias];
        let fast = passes(&all, |t| layer_norm(&t[0], &t[1], &t[2], 1e-5));
        let plain = passes(&all, |t| {
            let wide = t[0].to_kind(Kind::Float);
            wide.layer_norm([width], Some(&t[1]), Some(&t[2]), 1e-5, false).to_kind(kind)
        });
        agree(&fast, &plain, tolerance);
    }
}
