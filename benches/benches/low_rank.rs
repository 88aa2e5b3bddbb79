//! What does each way to compute an adapted layer cost, forward and back, and is the one that the
//! rule takes the quickest? Layers of Swin-T at rank 64 and of ViT-B/16 at rank 16 on four images of
//! 224 x 224, without dropout; weights are frozen, factors and inputs learn.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use polyptych_kernels::{LowRankPlan, LowRankShape, low_rank_linear_by};
use polyptych_tensor::{Device, Kind, Tensor};

const PLANS: [LowRankPlan; 3] =
    [LowRankPlan::Beside, LowRankPlan::FullGradient, LowRankPlan::Merged];

/// Rows, inputs, outputs and rank.
const LAYERS: [(&str, [i64; 4]); 5] = [
    ("swin_stage_1_qkv", [12544, 96, 288, 64]),
    ("swin_stage_2_proj", [3136, 192, 192, 64]),
    ("swin_stage_3_fc1", [784, 384, 1536, 64]),
    ("swin_stage_4_qkv", [196, 768, 2304, 64]),
    ("vit_base_qkv", [788, 768, 2304, 16]),
];

fn layers(criterion: &mut Criterion) {
    for kind in [Kind::Float, Kind::BFloat16] {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.1;
        let mut group = criterion.benchmark_group(format!("low_rank_{kind:?}"));
        group.sample_size(10);
        for (layer, [rows, input, out, rank]) in LAYERS {
            let bf16 = kind == Kind::BFloat16;
            let (input_learns, weight_learns) = (true, false);
            let shape = LowRankShape { rows, input, out, rank, bf16, input_learns, weight_learns };
            let x = random(&[rows, input]).to_kind(kind).set_requires_grad(true);
            let w = random(&[out, input]).to_kind(kind);
            let (a, b) = (random(&[rank, input]), random(&[out, rank]));
            let (a, b) = (a.set_requires_grad(true), b.set_requires_grad(true));
            let g = random(&[rows, out]).to_kind(kind);
            for plan in PLANS.into_iter().filter(|plan| !bf16 || *plan != LowRankPlan::Merged) {
                let chosen = if plan == LowRankPlan::of(shape) { "chosen" } else { "other" };
                let name = BenchmarkId::new(layer, format!("{plan:?}_{chosen}"));
                group.bench_function(name, |bencher| {
                    bencher.iter(|| {
                        let y = low_rank_linear_by(plan, &x, (&w, None), (&a, &b), 1.0);
                        black_box(Tensor::run_backward(
                            &[(y * &g).sum(Kind::Float)],
                            &[&x, &a, &b],
                            false,
                            false,
                        ))
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
