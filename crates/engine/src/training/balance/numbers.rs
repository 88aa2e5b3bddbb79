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
    let stacked = Tensor::stack(scalars, 0).detach().to_kind(Kind::Double);
    Ok(Vec::<f64>::try_from(&stacked.to_device(Device::Cpu))?)
}
