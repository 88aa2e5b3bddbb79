//! What goes to a device and comes back.

use tch::{Device, Kind, Tensor};

use crate::bridge::{at, ffi, output};
use crate::error::{Error, Result, torch};

/// All `parts` one after the other as one tensor of float32 on `device`: one copy, which the CPU does
/// not wait for, out of memory that the device can read by itself.
///
/// # Errors
/// No memory, or a device that is not there.
pub fn upload(parts: &[&[f32]], device: Device) -> Result<Tensor> {
    let count = parts.iter().map(|part| part.len() as i64).sum();
    let host = ffi::pinned_floats(count, device != Device::Cpu).map_err(torch("empty"))?;
    let host = output("empty", Ok(host));
    let mut start = 0;
    for part in parts {
        ffi::write_floats(at(&host), start, part).map_err(torch("copy"))?;
        start += part.len() as i64;
    }
    if device == Device::Cpu { Ok(host) } else { sent(&host, device) }
}

fn sent(host: &Tensor, device: Device) -> Result<Tensor> {
    let there = Tensor::f_empty([0], (Kind::Float, device));
    let there = there.map_err(|error| Error::Torch { op: "empty", reason: error.to_string() })?;
    let copy = ffi::to_device_of(at(host), at(&there)).map_err(torch("to"))?;
    Ok(output("to", Ok(copy)))
}

/// Keeps products and convolutions of float32 in float32 on CUDA devices: LibTorch by itself lets
/// cuDNN round their operands to 10 bits.
///
/// # Errors
/// What LibTorch reports.
pub fn round_nothing_to_tf32() -> Result<()> {
    ffi::round_nothing_to_tf32().map_err(torch("round_nothing_to_tf32"))
}

/// The most bytes that tensors on the CUDA device `index` had at a time, since the process started.
///
/// # Errors
/// A device that is not there.
pub fn peak_device_bytes(index: usize) -> Result<u64> {
    let peak = ffi::peak_device_bytes(i32::try_from(index).unwrap_or(i32::MAX));
    Ok(peak.map_err(torch("getDeviceStats"))?.unsigned_abs())
}
