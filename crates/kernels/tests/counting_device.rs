//! The counting device computes what the CPU does, refuses what a GPU refuses, and counts.
#![allow(clippy::unwrap_used)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use polyptych_kernels::{
    attention, joint_norm, open_counting_device, recompute, scale_all_on_device, take_transfers,
    upload,
};
use tch::{Device, Kind, Tensor, no_grad};

/// The device, for one test at a time, with nothing counted yet.
fn opened() -> (MutexGuard<'static, ()>, Device) {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = open_counting_device().unwrap();
    tch::manual_seed(0);
    take_transfers();
    (guard, device)
}

fn ramp(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) * 0.37).sin().view(shape)
}

/// Loss and gradients of a small network on `device`.
fn pass(device: Device) -> Vec<Tensor> {
    let there = |shape: &[i64]| ramp(shape).to_device(device).set_requires_grad(true);
    let (image, kernel, qkv) = (there(&[2, 3, 8, 8]), there(&[4, 3, 3, 3]), there(&[12, 4]));
    let bias = there(&[1, 2, 64, 64]);
    let map = image.conv2d(&kernel, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1).relu();
    let tokens = map.flatten(2, 3).transpose(1, 2);
    let mixed = attention(&tokens.linear(&qkv, None::<&Tensor>), 2, Some(&bias));
    let loss = mixed.dropout(0.25, true).square().mean(Kind::Float);
    loss.backward();
    let all = [loss.detach(), image.grad(), kernel.grad(), qkv.grad(), bias.grad()];
    all.into_iter().map(|t| t.to_device(Device::Cpu)).collect()
}

#[test]
fn numbers_are_those_of_the_cpu() {
    let (_one, device) = opened();
    let cpu = pass(Device::Cpu);
    tch::manual_seed(0);
    for (index, (expected, found)) in cpu.iter().zip(pass(device)).enumerate() {
        let apart = (expected - &found).abs().max().double_value(&[]);
        let of = expected.abs().max().double_value(&[]);
        assert!(apart <= 1e-5 * of && of > 0.0, "{index}: {apart} of {of}");
    }
}

#[test]
fn what_a_device_waits_for_is_counted() {
    let (_one, device) = opened();
    let there = upload(&[&[1.0, 2.0], &[], &[3.0]], device).unwrap();
    assert_eq!((there.device(), there.size()), (device, vec![3]));
    let double = &there * 2.0;
    assert_eq!(take_transfers(), ["to device, not waited for"]);
    assert_eq!(double.double_value(&[2]), 6.0);
    assert_eq!(take_transfers(), ["aten::_local_scalar_dense"]);
    let back = Vec::<f32>::try_from(&double.to_device(Device::Cpu)).unwrap();
    assert_eq!((back, take_transfers()), (vec![2.0, 4.0, 6.0], vec!["to cpu".to_owned()]));
    let mask = Tensor::from_slice(&[true, false, true]).to_device(device);
    assert_eq!(double.masked_select(&mask).size(), [2]);
    assert_eq!(take_transfers(), ["aten::masked_select", "to device"]);
}

#[test]
fn two_devices_in_one_operation_are_refused() {
    let (_one, device) = opened();
    let (here, there) = (ramp(&[3]), ramp(&[3]).to_device(device));
    assert!(there.f_add(&here).unwrap_err().to_string().contains("same device"));
    assert!(here.f_lt_tensor(&there).is_err());
    // A number without an axis goes along.
    assert!(there.f_mul(&Tensor::from(2f32)).is_ok());
}

#[test]
fn a_norm_and_what_it_scales_stay_on_the_device() {
    let (_one, device) = opened();
    let all = [ramp(&[3, 4]), ramp(&[5])].map(|t| t.to_device(device));
    take_transfers();
    let norm = joint_norm(&all);
    no_grad(|| scale_all_on_device(&all, &norm.reciprocal().to_kind(Kind::Float)));
    assert!(take_transfers().is_empty());
    let squares: f64 = all.iter().map(|t| t.square().sum(Kind::Double).double_value(&[])).sum();
    assert!((squares - 1.0).abs() < 1e-5, "{squares}");
}

/// Recomputing brings an engine of its own, which must have threads for devices though LibTorch's
/// has some already.
#[test]
fn what_is_computed_again_may_follow_other_passes() {
    let (_one, device) = opened();
    pass(device);
    let x = ramp(&[5]).to_device(device).set_requires_grad(true);
    let run = |x: &Tensor| x.square().sin().sum(Kind::Float);
    let kept = x.shallow_clone();
    recompute(&x, move || drop(run(&kept)), || run(&x)).backward();
    let expected = x.detach().square().cos() * x.detach() * 2.0;
    assert!((x.grad() - expected).abs().max().double_value(&[]) < 1e-6);
    pass(device);
}
