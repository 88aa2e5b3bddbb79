//! From arrays of the loader to tensors on a device.

use ndarray::{Array, Array4, Dimension};
use polyptych_tensor::{Device, Tensor};

use crate::Result;
/// Tensors of the shapes of `arrays` on `device`, which share one copy that nobody waits for.
///
/// # Errors
/// No memory.
pub(crate) fn uploaded<'a>(
    arrays: impl Iterator<Item = &'a Array4<f32>>,
    device: Device,
) -> Result<Vec<Tensor>> {
    let arrays: Vec<_> = arrays.map(|array| (array.as_standard_layout(), shape(array))).collect();
    let values: Vec<&[f32]> = arrays.iter().filter_map(|(array, _)| array.as_slice()).collect();
    let joined = polyptych_kernels::upload(&values, device)?;
    let mut start = 0;
    let part = |(_, shape): &(_, Vec<i64>)| {
        let len = shape.iter().product::<i64>();
        start += len;
        joined.narrow(0, start - len, len).view(shape.as_slice())
    };
    Ok(arrays.iter().map(part).collect())
}

fn shape<D: Dimension>(array: &Array<f32, D>) -> Vec<i64> {
    array.shape().iter().map(|&extent| extent as i64).collect()
}

/// A float32 tensor of the same shape on `device`.
pub fn to_tensor<D: Dimension>(array: &Array<f32, D>, device: Device) -> Tensor {
    let standard = array.as_standard_layout();
    let values = standard.as_slice().expect("standard layout is one slice");
    Tensor::from_slice(values).view(shape(array).as_slice()).to_device(device)
}
