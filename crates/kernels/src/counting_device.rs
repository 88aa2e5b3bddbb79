//! A device for tests: the CPU's memory and operations, under another name.
//!
//! LibTorch takes it for a device of its own, [`Device::Mps`], which it lacks on Linux: tensors must
//! be copied there, operands on two devices are refused, kernels of ours for the CPU do not apply,
//! backward passes run on a thread of its own. So a program that runs on it leaves no tensor behind
//! when it runs on a GPU, and what a GPU would have to wait for is counted.

use tch::Device;

use crate::bridge::ffi;
use crate::error::{Result, torch};

/// Opens the device, to be called before LibTorch draws a number or goes back through a graph.
///
/// # Errors
/// A LibTorch that has this device.
pub fn open_counting_device() -> Result<Device> {
    ffi::open_counting_device().map_err(torch("open_counting_device"))?;
    Ok(Device::Mps)
}

/// What went between the CPU and the device since the last call: `to device` and `to cpu` for copies
/// that the CPU waits for, `to device, not waited for` for others, and the names of operations whose
/// result the CPU waits for; one entry each time, in the order of names.
pub fn take_transfers() -> Vec<String> {
    ffi::take_transfers()
}
