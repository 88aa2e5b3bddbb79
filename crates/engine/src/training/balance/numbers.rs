//! Losses as numbers, and steps whose numbers are not finite.

use polyptych_losses::Error as LossError;
use polyptych_tensor::{Device, Kind, Tensor};

use crate::{Error, Result};

/// Nothing in the place of an error that asks to skip the step.
pub(crate) fn finite<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::Losses(LossError::NonFinite { .. })) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Scalars as numbers, in one transfer.
pub(crate) fn numbers(scalars: &[Tensor]) -> Result<Vec<f64>> {
    Ok(read(scalars)?.concat())
}

/// The numbers of all `tensors`, in one transfer for those that are on a device.
pub(crate) fn read(tensors: &[Tensor]) -> Result<Vec<Vec<f64>>> {
    let flat = |t: &Tensor| t.detach().to_kind(Kind::Double).reshape([-1]);
    let away = |t: &&Tensor| t.device() != Device::Cpu;
    let there: Vec<Tensor> = tensors.iter().filter(away).map(flat).collect();
    let mut read = match there.is_empty() {
        true => Vec::new(),
        false => Vec::<f64>::try_from(&Tensor::cat(&there, 0).to_device(Device::Cpu))?,
    }
    .into_iter();
    let own = |t: &Tensor| -> Result<Vec<f64>> {
        match t.device() {
            Device::Cpu => Ok(Vec::<f64>::try_from(&flat(t))?),
            _ => Ok(read.by_ref().take(t.numel()).collect()),
        }
    };
    tensors.iter().map(own).collect()
}
