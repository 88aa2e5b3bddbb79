//! Linear maps against those of LibTorch.

use super::*;

#[test]
fn linear_is_that_of_libtorch() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let (x, w) = (random(&[2, 5, 24], kind), random(&[18, 24], kind));
        let bias = random(&[18], kind);
        let all = [&x, &w, &bias];
        let fast = passes(&all, |t| linear(&t[0], &t[1], Some(&t[2])));
        agree(&fast, &passes(&all, |t| t[0].linear(&t[1], Some(&t[2]))), tolerance);
        let fast = passes(&all[..2], |t| linear(&t[0], &t[1], None));
        agree(&fast, &passes(&all[..2], |t| t[0].linear(&t[1], None::<&Tensor>)), tolerance);
    }
}

#[test]
fn deep_products_are_those_of_libtorch() {
    let _drawing = alone();
    // Rows after whole tiles, columns after whole vectors and after a panel, and either order.
    let sizes =
        [[13, 150, 100], [5, 128, 37], [30, 130, 32], [6, 384, 192], [29, 18, 70], [3, 16, 17]];
    for [rows, deep, out] in sizes {
        let kind = Kind::BFloat16;
        let (x, w) = (random(&[rows, deep], kind), random(&[out, deep], kind));
        let bias = random(&[out], kind);
        let all = [&x, &w, &bias];
        let fast = passes(&all, |t| linear(&t[0], &t[1], Some(&t[2])));
        let wide = passes(&all, |t| {
            let [x, w, bias] = [0, 1, 2].map(|i: usize| t[i].to_kind(Kind::Float));
            x.linear(&w, Some(&bias)).to_kind(kind)
        });
        agree(&fast, &wide, 5e-3);
        let turned = passes(&all[..2], |t| linear(&t[0], &t[1].tr().contiguous().tr(), None));
        agree(&turned, &passes(&all[..2], |t| linear(&t[0], &t[1], None)), 5e-3);
        let plain = no_grad(|| fast[0].gelu("none"));
        agree(&[no_grad(|| linear_gelu(&x, &w, Some(&bias)))], &[plain], 1e-2);
        // A rank as deep: what is added to the base.
        let (a, b) = (random(&[130, deep], kind), random(&[out, 130], kind));
        let sum = no_grad(|| low_rank_linear(&x, (&w, None), (&a, &b), 0.1, 0.0));
        let low = no_grad(|| linear(&linear(&x, &a, None), &(&b * 0.1), None));
        agree(&[sum], &[no_grad(|| x.linear(&w, None::<&Tensor>) + low)], 1e-2);
    }
}

#[test]
fn the_activation_behind_a_layer_is_the_same_with_and_without_gradients() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let (x, w) = (random(&[2, 5, 24], kind), random(&[18, 24], kind));
        let bias = random(&[18], kind);
        let plain = x.linear(&w, Some(&bias)).gelu("none").detach();
        let with = || linear_gelu(&x, &w, Some(&bias));
        agree(&[with().detach(), no_grad(with)], &[plain.shallow_clone(), plain], tolerance);
    }
}

#[test]
fn strided_and_empty_inputs_are_taken() {
    let _drawing = alone();
    let (x, w) = (random(&[6, 4], Kind::Float), random(&[3, 6], Kind::Float));
    agree(
        &passes(&[&x, &w], |t| linear(&t[0].tr(), &t[1], None)),
        &passes(&[&x, &w], |t| t[0].tr().linear(&t[1], None::<&Tensor>)),
        1e-5,
    );
    assert_eq!(
        linear(&x.narrow(0, 0, 0).tr().narrow(0, 0, 0), &w.narrow(1, 0, 0), None).size(),
        [0, 3]
    );
}
