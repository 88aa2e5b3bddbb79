//! Fused operations beside LibTorch's: `cargo run -p polyptych-kernels --example fused`.

use polyptych_kernels::{layer_norm, linear};
use tch::{Device, Kind, Tensor};

fn main() {
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let (tokens, dim) = (196, 384);
    let x = random(&[4, tokens, dim]);
    let weight = random(&[dim, dim]).set_requires_grad(true);
    let bias = random(&[dim]);

    let y = linear(&x, &weight, Some(&bias));
    let plain = x.matmul(&weight.tr()) + &bias;
    println!("linear: {:?}, differs by {:.1e}", y.size(), largest_difference(&y, &plain));

    let (scale, shift) = (random(&[dim]), random(&[dim]));
    let normal = layer_norm(&y, &scale, &shift, 1e-5);
    let plain = y.layer_norm([dim], Some(&scale), Some(&shift), 1e-5, false);
    println!("layer_norm: differs by {:.1e}", largest_difference(&normal, &plain));

    normal.square().mean(Kind::Float).backward();
    println!("gradient of the weight: {:?}", weight.grad().size());
}

/// Relative to the largest number.
fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    ((a - b).abs().max() / b.abs().max()).double_value(&[])
}
