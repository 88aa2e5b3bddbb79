//! The fast form of each kernel against its plain one.

mod attention;
mod fused_head;
mod int8;
mod layers;
mod linear;
mod low_rank;
mod packed;
mod tasks;

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
fn shapes_that_do_not_fit_are_refused_before_memory_is_read() {
    let of = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    let small = [of(&[4]), of(&[2, 3, 8])];
    type Call<'a> = Box<dyn Fn() -> Tensor + 'a>;
    let calls: [(&str, Call); 11] = [
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
        (
            "fused_head",
            Box::new(|| {
                let [scale, wide] = [of(&[64]), of(&[64, 64])];
                let (weight, bias, running_mean, running_var) = (&scale, &scale, &scale, &scale);
                let norm =
                    BatchNorm { weight, bias, running_mean, running_var, momentum: 0.1, eps: 1e-5 };
                let coarse = of(&[1, 2, 2, 63]);
                let (x, second) = (of(&[1, 9, 9, 64]), (&wide, Some(&scale)));
                fused_head(&x, &[&coarse], (&wide, None), &norm, second, true)
            }),
        ),
        ("filter_planes", Box::new(|| filter_planes(&of(&[3, 20]), &[0.5, 0.3, 0.2]))),
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
