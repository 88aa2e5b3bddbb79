//! Where numbers live: `auto`, `cpu` or `cuda:N`.
//!
//! One program serves CPU and GPU. LibTorch remembers the first answer to "is there CUDA?", so
//! [`resolve`] opens `libtorch_cuda.so` before it asks.
//!
//! Tests have one more, [`COUNTING`]: the CPU in the place of a GPU, with a count of all that a GPU
//! would have to wait for.

use std::path::PathBuf;
use std::sync::OnceLock;

use polyptych_kernels::Instructions;
use tch::{Device, Kind, Tensor};

use crate::{Error, Result};

/// The word for the device of tests, [`polyptych_kernels::open_counting_device`].
pub const COUNTING: &str = "counting";

/// Turns `auto`, `cpu`, `cuda` or `cuda:N` into a device.
///
/// `auto` takes the first CUDA device, or the CPU where there is none.
///
/// # Errors
/// A CUDA device that is not there, or another word. It never falls back to the CPU quietly.
/// Instructions that `POLYPTYCH_CPU` names and the processor lacks.
pub fn resolve(name: &str) -> Result<Device> {
    // Kernels ask too, but can only panic.
    Instructions::in_use().map_err(|error| refused(name, error.to_string()))?;
    match name {
        "cpu" => Ok(Device::Cpu),
        "auto" => Ok(cuda(name, 0).unwrap_or(Device::Cpu)),
        "cuda" => cuda(name, 0),
        COUNTING => polyptych_kernels::open_counting_device()
            .map_err(|error| refused(name, error.to_string())),
        _ => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(index)) => cuda(name, index),
            _ => Err(refused(name, "expected `auto`, `cpu` or `cuda:N`".into())),
        },
    }
}

/// How the device reads in reports: `cpu`, `cuda:0`.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        Device::Mps => COUNTING.into(),
        _ => "cpu".into(),
    }
}

/// A few numbers as a vector of `kind` on `device`, without a copy that somebody waits for: there
/// each comes with an order to write it.
pub fn vector(numbers: &[f64], kind: Kind, device: Device) -> Tensor {
    if device == Device::Cpu || numbers.is_empty() {
        return Tensor::from_slice(numbers).to_kind(kind).to_device(device);
    }
    let one = |number: &f64| Tensor::full([1], *number, (kind, device));
    Tensor::cat(&numbers.iter().map(one).collect::<Vec<_>>(), 0)
}

/// Waits until `device` has done all that it was asked to do; the CPU always has.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

fn cuda(asked: &str, index: usize) -> Result<Device> {
    match cuda_count() {
        Ok(count) if index < count => {
            polyptych_kernels::round_nothing_to_tf32()
                .map_err(|error| refused(asked, error.to_string()))?;
            Ok(Device::Cuda(index))
        }
        Ok(count) => Err(refused(asked, format!("expected an index below {count} CUDA devices"))),
        Err(reason) => Err(refused(asked, reason)),
    }
}

fn refused(asked: &str, reason: String) -> Error {
    Error::Device { asked: asked.into(), reason }
}

fn cuda_count() -> Result<usize, String> {
    static COUNT: OnceLock<Result<usize, String>> = OnceLock::new();
    COUNT
        .get_or_init(|| {
            let opened = polyptych_kernels::open_library(&cuda_library().to_string_lossy());
            match (tch::Cuda::device_count(), opened) {
                (count, _) if count > 0 => Ok(count as usize),
                (_, Err(e)) => Err(format!(
                    "no CUDA device: {e}; `cargo xtask setup --cuda` brings what LibTorch needs for one"
                )),
                (_, Ok(())) => Err("LibTorch has CUDA, and no device was found: is the driver there \
                                    (`nvidia-smi`)?"
                    .into()),
            }
        })
        .clone()
}

/// LibTorch's CUDA library: next to the CPU library, or in `cuda/`, where `cargo xtask setup
/// --cuda` puts it. The loader's own search path comes last.
fn cuda_library() -> PathBuf {
    let lib = polyptych_kernels::library_folder();
    let beside = lib.join("libtorch_cuda.so");
    let separate = lib.with_file_name("cuda").join("libtorch_cuda.so");
    let known = [beside, separate].into_iter().find(|p| p.exists());
    known.unwrap_or_else(|| PathBuf::from("libtorch_cuda.so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_checked() {
        assert_eq!(resolve("cpu").unwrap(), Device::Cpu);
        let message = resolve("gpu").unwrap_err().to_string();
        assert_eq!(message, "device `gpu`: expected `auto`, `cpu` or `cuda:N`");
    }

    #[test]
    fn cuda_that_is_absent_is_an_error() {
        let message = resolve("cuda:99").unwrap_err().to_string();
        assert!(message.starts_with("device `cuda:99`: "), "{message}");
    }
}
