//! Where numbers live: `auto`, `cpu` or `cuda:N`.
//!
//! One program serves CPU and GPU. LibTorch remembers the first answer to "is there CUDA?", so
//! [`resolve`] opens `libtorch_cuda.so` before it asks.

use std::path::PathBuf;
use std::sync::OnceLock;

use tch::Device;

use crate::{Error, Result};

/// Turns `auto`, `cpu`, `cuda` or `cuda:N` into a device.
///
/// `auto` takes the first CUDA device, or the CPU where there is none.
///
/// # Errors
/// A CUDA device that is not there, or another word. It never falls back to the CPU quietly.
pub fn resolve(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "auto" if cuda_count().is_ok_and(|n| n > 0) => Ok(Device::Cuda(0)),
        "auto" => Ok(Device::Cpu),
        "cuda" => cuda(name, 0),
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
        _ => "cpu".into(),
    }
}

/// Waits until `device` has done all that it was asked to do; the CPU always has.
pub fn synchronize(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

fn cuda(asked: &str, index: usize) -> Result<Device> {
    match cuda_count() {
        Ok(count) if index < count => Ok(Device::Cuda(index)),
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
