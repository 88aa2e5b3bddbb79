//! Low-rank maps beside a base: every plan against the plain form.

use super::*;

#[test]
fn the_low_rank_path_is_the_sum_of_its_parts() {
    let _drawing = alone();
    for ((kind, tolerance), r) in TYPES.into_iter().flat_map(|of| [(of, 4), (of, 20)]) {
        let (x, w, c) = (random(&[2, 7, 24], kind), random(&[18, 24], kind), random(&[18], kind));
        let (a, b) = (random(&[r, 24], Kind::Float), random(&[18, r], Kind::Float));
        let all = [&x, &w, &c, &a, &b];
        let fast = passes(&all, |t| {
            low_rank_linear(&t[0], (&t[1], Some(&t[2])), (&t[3], &t[4]), 1.7, 0.0)
        });
        let plain = passes(&all, |t| {
            let low = t[0].linear(&t[3].to_kind(kind), None::<&Tensor>);
            let low = low.linear(&t[4].to_kind(kind), None::<&Tensor>);
            t[0].linear(&t[1], Some(&t[2])) + low * 1.7
        });
        agree(&fast, &plain, tolerance);
    }
}

/// Sum and gradients in LibTorch's operations.
fn plain_low_rank(t: &[Tensor], scale: f64) -> Tensor {
    let kind = t[0].kind();
    let low = t[0].linear(&t[3].to_kind(kind), None::<&Tensor>);
    t[0].linear(&t[1], Some(&t[2])) + low.linear(&t[4].to_kind(kind), None::<&Tensor>) * scale
}

const PLANS: [LowRankPlan; 3] =
    [LowRankPlan::Beside, LowRankPlan::FullGradient, LowRankPlan::Merged];

#[test]
fn every_plan_of_a_low_rank_map_is_the_plain_form() {
    let _drawing = alone();
    let types = [(Kind::Double, 1e-10), (Kind::Float, 1e-5), (Kind::BFloat16, 3e-2)];
    for ((kind, tolerance), r) in types.into_iter().flat_map(|of| [(of, 3), (of, 20)]) {
        let draw = |shape: &[i64], kind| {
            Tensor::randn(shape, (Kind::Double, Device::Cpu)).to_kind(kind).set_requires_grad(true)
        };
        let own = if kind == Kind::BFloat16 { Kind::Float } else { kind };
        let (x, w, c) = (draw(&[2, 35, 48], kind), draw(&[40, 48], kind), draw(&[40], kind));
        let (a, b) = (draw(&[r, 48], own), draw(&[40, r], own));
        let all = [&x, &w, &c, &a, &b];
        let plain = passes(&all, |t| plain_low_rank(t, 1.7));
        for plan in PLANS {
            // A sum in bfloat16 has no room for both.
            if plan == LowRankPlan::Merged && kind == Kind::BFloat16 {
                continue;
            }
            let fast = passes(&all, |t| {
                low_rank_linear_by(plan, &t[0], (&t[1], Some(&t[2])), (&t[3], &t[4]), 1.7)
            });
            let double = |all: &[Tensor]| all.iter().map(|t| t.to_kind(Kind::Double)).collect();
            let [fast, plain]: [Vec<Tensor>; 2] = [double(&fast), double(&plain)];
            for (index, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
                let apart = ((fast - plain).norm() / plain.norm()).double_value(&[]);
                assert!(apart < tolerance, "{kind:?} {plan:?} {index}: {apart}");
            }
        }
    }
}

#[test]
fn gradients_that_nobody_asks_for_are_left_out_whatever_the_plan() {
    let _drawing = alone();
    let own = |shape: &[i64]| random(shape, Kind::Float);
    let (x, w) = (own(&[70, 48]).detach(), own(&[40, 48]).detach());
    for plan in PLANS {
        let (a, b) = (own(&[20, 48]), own(&[40, 20]));
        low_rank_linear_by(plan, &x, (&w, None), (&a, &b), 1.0).sum(Kind::Float).backward();
        assert!(a.grad().defined() && b.grad().defined() && !x.grad().defined());
        assert!(!w.grad().defined());
        let below = x.copy().set_requires_grad(true);
        let (a, b) = (a.detach(), b.detach());
        low_rank_linear_by(plan, &below, (&w, None), (&a, &b), 1.0).sum(Kind::Float).backward();
        let expected =
            Tensor::ones([70, 40], (Kind::Float, Device::Cpu)).matmul(&(&w + b.matmul(&a)));
        agree(&[below.grad()], &[expected], 1e-5);
    }
}

#[test]
fn the_plan_is_that_of_the_fewest_operations() {
    let of = |rows, input, out, rank, bf16| {
        let (input_learns, weight_learns) = (true, false);
        LowRankPlan::of(LowRankShape { rows, input, out, rank, bf16, input_learns, weight_learns })
    };
    // Swin-T's stages at rank 64, then a ViT-B at rank 16, whose matrices are wide.
    assert_eq!(of(12544, 96, 288, 64, false), LowRankPlan::Merged);
    assert_eq!(of(3136, 192, 192, 64, false), LowRankPlan::Merged);
    assert_eq!(of(784, 384, 1536, 64, false), LowRankPlan::Beside);
    assert_eq!(of(788, 768, 768, 16, false), LowRankPlan::Beside);
    assert_eq!(of(12544, 96, 96, 64, true), LowRankPlan::FullGradient);
    assert_eq!(of(12544, 96, 384, 64, true), LowRankPlan::Beside);
    // Few rows are not worth a sum of matrices.
    assert_eq!(of(8, 96, 96, 64, false), LowRankPlan::Beside);
    let shape = LowRankShape {
        rows: 788,
        input: 768,
        out: 768,
        rank: 16,
        bf16: false,
        input_learns: true,
        weight_learns: true,
    };
    assert_eq!(LowRankPlan::of(shape), LowRankPlan::Merged);
}

#[test]
fn what_follows_a_gelu_recomputes_it() {
    let _drawing = alone();
    for (_, tolerance, all) in low_ranks() {
        let all = all.each_ref();
        let with = |act: fn(&Tensor) -> Tensor| {
            passes(&all, |t| {
                manual_seed(5);
                low_rank_linear(&act(&t[0]), (&t[1], None), (&t[2], &t[3]), 1.7, 0.3)
            })
        };
        agree(&with(gelu), &with(|t| t.gelu("none")), tolerance);
    }
}

/// With a seed the mask is known: that of dropout alone.
#[test]
fn the_low_rank_path_drops_what_dropout_drops() {
    let _drawing = alone();
    for (kind, tolerance, all) in low_ranks() {
        let all = all.each_ref();
        let fast = passes(&all, |t| {
            manual_seed(5);
            low_rank_linear(&t[0], (&t[1], None), (&t[2], &t[3]), 1.7, 0.3)
        });
        let plain = passes(&all, |t| {
            manual_seed(5);
            let low = dropout(&t[0], 0.3).linear(&t[2].to_kind(kind), None::<&Tensor>);
            let low = low.linear(&t[3].to_kind(kind), None::<&Tensor>);
            t[0].linear(&t[1], None::<&Tensor>) + low * 1.7
        });
        agree(&fast, &plain, tolerance);
    }
}

/// `x`, `W`, `A` and `B` of random numbers, in every type, with how near results must be.
fn low_ranks() -> impl Iterator<Item = (Kind, f64, [Tensor; 4])> {
    // The larger ones are computed together with their base, in bfloat16 also in the backward pass.
    let sizes = [[14, 24, 18, 4], [50, 96, 200, 64], [7, 40, 18, 6], [33, 150, 100, 3]];
    let cases = TYPES.into_iter().flat_map(move |of| sizes.map(|size| (of, size)));
    cases.map(|((kind, tolerance), [rows, deep, out, r])| {
        let (x, w) = (random(&[rows, deep], kind), random(&[out, deep], kind));
        let (a, b) = (random(&[r, deep], Kind::Float), random(&[out, r], Kind::Float));
        (kind, tolerance, [x, w, a, b])
    })
}
