//! The fast form of each kernel against its plain one.

mod int8;

use std::process::Command;

use tch::{Device, Kind, Tensor, manual_seed, no_grad};

use super::*;
use crate::testing::alone;

fn random(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind).set_requires_grad(true)
}

/// Output and gradients of `f` over fresh leaves with the values of `leaves`.
fn passes(leaves: &[&Tensor], f: impl Fn(&[Tensor]) -> Tensor) -> Vec<Tensor> {
    let fresh: Vec<Tensor> =
        leaves.iter().map(|t| t.detach().copy().set_requires_grad(true)).collect();
    let out = f(&fresh);
    let slope = Tensor::arange(out.numel() as i64, (Kind::Float, Device::Cpu)).sin();
    (out.to_kind(Kind::Float) * slope.view_as(&out)).sum(Kind::Float).backward();
    let grads = fresh.iter().map(Tensor::grad);
    std::iter::once(out.detach()).chain(grads).collect()
}

fn agree(fast: &[Tensor], plain: &[Tensor], tolerance: f64) {
    for (index, (fast, plain)) in fast.iter().zip(plain).enumerate() {
        assert_eq!((fast.size(), fast.kind()), (plain.size(), plain.kind()));
        let norm = |t: &Tensor| t.to_kind(Kind::Float).norm().double_value(&[]);
        let apart = norm(&(fast.to_kind(Kind::Float) - plain.to_kind(Kind::Float)));
        assert!(apart <= tolerance * norm(plain), "{index}: {apart} of {}", norm(plain));
    }
}

/// Rounding of each type, over sums of some dozens.
const TYPES: [(Kind, f64); 2] = [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)];

/// Variables by which LibTorch and oneDNN use no more than the kernels do.
fn environment(on: Instructions) -> [(&'static str, &'static str); 2] {
    match on {
        Instructions::None => [("ATEN_CPU_CAPABILITY", "default"), ("ONEDNN_MAX_CPU_ISA", "SSE41")],
        Instructions::Avx2 => [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2")],
        Instructions::Avx512 => {
            [("ATEN_CPU_CAPABILITY", "avx512"), ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")]
        }
        Instructions::Avx512Bf16 => {
            [("ATEN_CPU_CAPABILITY", "avx512"), ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16")]
        }
        Instructions::Amx => {
            [("ATEN_CPU_CAPABILITY", "avx512"), ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX")]
        }
    }
}

/// Instructions are chosen once per process: each kind that this machine has and does not use by
/// itself gets these tests again in a process of its own.
#[test]
fn all_of_this_holds_for_the_other_instructions_of_this_machine() {
    if std::env::var_os(CPU_VARIABLE).is_some() {
        return;
    }
    let best = Instructions::best();
    for on in Instructions::ALL.into_iter().filter(|on| *on < best) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["tests::", "--test-threads", "2"])
            .env(CPU_VARIABLE, on.to_string())
            .envs(environment(on))
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success(), "{on}: {}{}", said[0], said[1]);
        assert!(said[0].contains("linear_is_that_of_libtorch ... ok"), "{}", said[0]);
    }
}

/// A wrong word is an error before anything is computed, and so are instructions that are not there.
#[test]
fn instructions_that_are_not_there_are_refused() {
    let best = Instructions::best();
    let more = Instructions::ALL.into_iter().find(|on| *on > best).map(|on| on.to_string());
    for word in more.into_iter().chain(["sse9".into()]) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["what_is_in_use_is_what_the_variable_says", "--nocapture"])
            .env(CPU_VARIABLE, &word)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(101), "{said}");
        assert!(said.contains("POLYPTYCH_CPU: expected"), "{said}");
        assert!(said.contains(&format!("found \\\"{word}\\\"")), "{said}");
    }
}

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
fn threads_share_the_work_and_change_no_number_but_by_the_order_of_sums() {
    let _drawing = alone();
    let threads = tch::get_num_threads();
    for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 1e-2)] {
        let (x, base) = (random(&[2, 1100, 32], kind), random(&[1100, 160], kind));
        let (a, b) = (random(&[2, 4, 32], kind), random(&[2, 160, 4], kind));
        let next = random(&[2, 4, 160], kind);
        let (w, bias) = (random(&[192, 160], kind), random(&[192], kind));
        let (scale, shift) = (random(&[192], Kind::Float), random(&[192], Kind::Float));
        let all = [&x, &base, &a, &b, &next, &w, &bias, &scale, &shift];
        let run = |threads: i32| {
            tch::set_num_threads(threads);
            passes(&all, |t| {
                let hidden = task_hidden(&t[0], &t[1], (&t[2], &t[3]), &t[4]);
                let low = task_low_rank(&t[0], &t[1], (&t[2], &t[3]));
                let deep = gelu(&linear(&low, &t[5], Some(&t[6])));
                let deep = dropout(&layer_norm(&deep, &t[7], &t[8], 1e-5), 0.0);
                deep.sum_dim_intlist([-1i64].as_slice(), true, Kind::Float).to_kind(kind) + hidden
            })
        };
        let [one, three] = [1, 3].map(run);
        tch::set_num_threads(threads);
        agree(&three, &one, tolerance);
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
fn what_follows_a_gelu_recomputes_it() {
    let _drawing = alone();
    // The larger ones are computed together with their base, in bfloat16 also in the backward pass.
    let sizes = [[14, 24, 18, 4], [50, 96, 200, 64], [7, 40, 18, 6], [33, 150, 100, 3]];
    for ((kind, tolerance), [rows, deep, out, r]) in
        TYPES.into_iter().flat_map(|of| sizes.map(|size| (of, size)))
    {
        let (x, w) = (random(&[rows, deep], kind), random(&[out, deep], kind));
        let (a, b) = (random(&[r, deep], Kind::Float), random(&[out, r], Kind::Float));
        let all = [&x, &w, &a, &b];
        let with = |act: fn(&Tensor) -> Tensor| {
            passes(&all, |t| {
                manual_seed(5);
                low_rank_linear(&act(&t[0]), (&t[1], None), (&t[2], &t[3]), 1.7, 0.3)
            })
        };
        agree(&with(gelu), &with(|t| t.gelu("none")), tolerance);
    }
}

#[test]
fn all_tasks_at_once_are_each_alone() {
    let _drawing = alone();
    for ((kind, tolerance), r) in TYPES.into_iter().flat_map(|of| [(of, 4), (of, 70)]) {
        let (x, base) = (random(&[3, 2, 7, 24], kind), random(&[2, 7, 70], kind));
        let (a, b) = (random(&[3, r, 24], kind), random(&[3, 70, r], kind));
        let all = [&x, &base, &a, &b];
        let fast = passes(&all, |t| task_low_rank(&gelu(&t[0]), &t[1], (&t[2], &t[3])));
        let plain = passes(&all, |t| {
            let one = |task: i64| {
                let of = |at: usize| t[at].select(0, task);
                let low = of(0).gelu("none").matmul(&of(2).tr());
                &t[1] + low.matmul(&of(3).tr())
            };
            Tensor::stack(&[one(0), one(1), one(2)], 0)
        });
        agree(&fast, &plain, tolerance);
    }
}

#[test]
fn terms_of_tasks_stand_alone() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let (low, b) = (random(&[3, 2, 7, 5], kind), random(&[3, 70, 5], kind));
        let fast = passes(&[&low, &b], |t| task_up(&t[0], None, &t[1]));
        let plain = passes(&[&low, &b], |t| t[0].matmul(&t[1].transpose(1, 2).unsqueeze(1)));
        agree(&fast, &plain, tolerance);
        let two = no_grad(|| task_up(&low.narrow(0, 1, 2), None, &b.narrow(0, 1, 2)));
        assert!(two.equal(&fast[0].narrow(0, 1, 2)));
    }
}

#[test]
fn a_hidden_layer_that_is_never_held_is_the_same() {
    let _drawing = alone();
    // Rows after one stretch, and columns after whole strips.
    for (kind, tolerance) in TYPES {
        let (x, base) = (random(&[3, 2, 150, 24], kind), random(&[2, 150, 150], kind));
        let (a, b) = (random(&[3, 4, 24], kind), random(&[3, 150, 4], kind));
        let next = random(&[3, 5, 150], kind);
        let all = [&x, &base, &a, &b, &next];
        let fast = passes(&all, |t| task_hidden(&t[0], &t[1], (&t[2], &t[3]), &t[4]));
        let plain = passes(&all, |t| {
            let hidden = task_low_rank(&t[0], &t[1], (&t[2], &t[3])).gelu("none");
            hidden.matmul(&t[4].transpose(1, 2).unsqueeze(1))
        });
        agree(&fast, &plain, tolerance);
    }
}

/// Attention of `heads` heads in pieces.
fn formula(qkv: &Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
    let [entries, tokens, width] = [0, 1, 2].map(|axis| qkv.size()[axis]);
    let split = qkv.view([entries, tokens, 3, heads, -1]).permute([2, 0, 3, 1, 4]);
    let [q, k, v] = [0, 1, 2].map(|part| split.select(0, part));
    let scale = ((width / 3 / heads) as f64).sqrt();
    let scores = q.matmul(&k.transpose(-2, -1)) / scale;
    let scores = match bias {
        Some(bias) => scores + bias.repeat([entries / bias.size()[0], 1, 1, 1]),
        None => scores,
    };
    let mixed = scores.softmax(-1, None::<Kind>).matmul(&v);
    mixed.transpose(1, 2).reshape([entries, tokens, width / 3])
}

#[test]
fn attention_is_the_formula() {
    let _drawing = alone();
    // A head's width that tiles cannot hold; a window; rows that fill no tile, and keys that end
    // with a vector's first lane; more tokens than tiles are for.
    let shapes = [(6, 5, 4), (6, 49, 32), (18, 5, 32), (2, 65, 64), (1, 260, 32)];
    for ((kind, tolerance), (entries, tokens, width)) in
        TYPES.into_iter().flat_map(|of| shapes.map(|shape| (of, shape)))
    {
        let qkv = random(&[entries, tokens, 6 * width], kind);
        for biases in [Some(1), Some(entries / 2).filter(|_| entries > 1), None] {
            let bias = biases.map(|count| random(&[count, 2, tokens, tokens], kind));
            let all: Vec<&Tensor> = std::iter::once(&qkv).chain(&bias).collect();
            let fast = passes(&all, |t| attention(&t[0], 2, t.get(1)));
            let plain = passes(&all, |t| formula(&t[0], 2, t.get(1)));
            agree(&fast, &plain, 2.0 * tolerance);
            let alone = no_grad(|| attention(&qkv, 2, bias.as_ref()));
            agree(&[alone], &plain[..1], 2.0 * tolerance);
        }
    }
}

#[test]
fn what_a_mask_hides_has_probability_zero() {
    let _drawing = alone();
    for (kind, tolerance) in TYPES {
        let qkv = random(&[2, 49, 192], kind);
        let hidden = Tensor::zeros([1, 2, 49, 49], (kind, Device::Cpu));
        let _ = hidden.narrow(3, 17, 32).fill_(-100.0);
        let all = [&qkv];
        let fast = passes(&all, |t| attention(&t[0], 2, Some(&hidden)));
        agree(&fast, &passes(&all, |t| formula(&t[0], 2, Some(&hidden))), 2.0 * tolerance);
        let behind = fast[1].narrow(1, 17, 32).narrow(2, 64, 128);
        assert!(behind.abs().max().double_value(&[]) < 1e-30);
    }
}

/// With a seed the mask is known: that of dropout alone.
#[test]
fn the_low_rank_path_drops_what_dropout_drops() {
    let _drawing = alone();
    // The larger ones are computed together with their base, in bfloat16 also in the backward pass.
    let sizes = [[14, 24, 18, 4], [50, 96, 200, 64], [7, 40, 18, 6], [33, 150, 100, 3]];
    for ((kind, tolerance), [rows, deep, out, r]) in
        TYPES.into_iter().flat_map(|of| sizes.map(|size| (of, size)))
    {
        let (x, w) = (random(&[rows, deep], kind), random(&[out, deep], kind));
        let (a, b) = (random(&[r, deep], Kind::Float), random(&[out, r], Kind::Float));
        let all = [&x, &w, &a, &b];
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
        for (from, to) in [([7, 5], [21, 90]), ([9, 70], [4, 20]), ([3, 40], [8, 5])] {
            alone(&random(&[3, from[0], from[1], 1], kind), to);
        }
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

#[test]
fn shapes_that_do_not_fit_are_refused_before_memory_is_read() {
    let of = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let small = [of(&[4]), of(&[2, 3, 8])];
    type Call<'a> = Box<dyn Fn() -> Tensor + 'a>;
    let calls: [(&str, Call); 9] = [
        ("linear", Box::new(|| linear(&of(&[40, 256]), &of(&[64, 64]), None))),
        ("linear", Box::new(|| linear(&of(&[40, 64]), &of(&[64, 64]), Some(&of(&[4]))))),
        (
            "low_rank_linear",
            Box::new(|| {
                let (w, a, b) = (of(&[64, 64]), of(&[4, 32]), of(&[64, 4]));
                low_rank_linear(&of(&[40, 64]), (&w, None), (&a, &b), 1.0, 0.0)
            }),
        ),
        ("task_up", Box::new(|| task_up(&of(&[2, 7, 3]), None, &of(&[2, 5, 2])))),
        ("task_up", Box::new(|| task_up(&of(&[2, 7, 3]), Some(&of(&[6, 5])), &of(&[2, 5, 3])))),
        ("attention", Box::new(|| attention(&of(&[2, 9, 96]), 1, Some(&of(&[2, 1, 9, 8]))))),
        ("add_branch", Box::new(|| add_branch(&of(&[2, 9]), &of(&[4, 10]), None))),
        ("layer_norm", Box::new(|| layer_norm(&of(&[2, 9]), &of(&[4]), &of(&[9]), 1e-5))),
        (
            "upsample",
            Box::new(|| upsample(&[&of(&[1, 2, 2, 32]), &of(&[1, 2, 2, 16])], None, [4, 4])),
        ),
    ];
    for (op, call) in &calls {
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_err();
        let message = panicked.downcast_ref::<String>().unwrap();
        assert!(message.starts_with(&format!("{op}: {op}: expected")), "{message}");
    }
    let step = AdamWStep { lr: 0.1, betas: [0.9, 0.99], weight_decay: 0.0, eps: 1e-8 };
    let all = |t: &Tensor| vec![t.shallow_clone()];
    let found = adamw_step(
        &all(&small[1]),
        &all(&small[0]),
        &all(&small[1]),
        &all(&small[1]),
        &all(&of(&[])),
        &step,
    );
    assert!(found.unwrap_err().to_string().contains("expected"));
}
