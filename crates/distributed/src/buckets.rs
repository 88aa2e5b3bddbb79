//! Many tensors as few flat ones: an operation of the group costs a round trip, whatever its size.

use polyptych_tensor::{Kind, TchError, Tensor};

/// Bytes of a flat tensor, unless one tensor alone has more: that of PyTorch's DDP.
const BUCKET_BYTES: usize = 25 << 20;

/// Tensors of one type that are reduced together.
pub(crate) struct Bucket<'a> {
    tensors: Vec<&'a Tensor>,
}

/// `tensors` in buckets: of one type each, in their order.
pub(crate) fn buckets<'a>(tensors: &[&'a Tensor]) -> Vec<Bucket<'a>> {
    let mut all: Vec<(Kind, usize, Bucket)> = Vec::new();
    for &tensor in tensors {
        let (kind, bytes) = (tensor.kind(), bytes(tensor));
        match all.iter_mut().rfind(|(of, _, _)| *of == kind) {
            Some((_, sum, bucket)) if *sum + bytes <= BUCKET_BYTES => {
                *sum += bytes;
                bucket.tensors.push(tensor);
            }
            _ => all.push((kind, bytes, Bucket { tensors: vec![tensor] })),
        }
    }
    all.into_iter().map(|(_, _, bucket)| bucket).collect()
}

/// Bytes of the numbers of `tensor`.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

impl Bucket<'_> {
    /// All numbers, one behind the other.
    ///
    /// # Errors
    /// Tensors of several devices.
    pub(crate) fn flat(&self) -> Result<Tensor, TchError> {
        let parts: Vec<Tensor> = self.tensors.iter().map(|t| t.detach().reshape([-1])).collect();
        Tensor::f_cat(&parts, 0)
    }

    /// Writes the numbers of `flat` back.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn fill(&self, flat: &Tensor) -> Result<(), TchError> {
        let mut start = 0;
        for tensor in &self.tensors {
            let len = tensor.numel() as i64;
            let part = flat.narrow(0, start, len).view_as(*tensor);
            tensor.detach().f_copy_(&part)?;
            start += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use polyptych_tensor::Device;

    use super::*;

    #[test]
    fn types_and_sizes_part_buckets() {
        let zeros = |count: i64, kind| Tensor::zeros([count], (kind, Device::Cpu));
        let (small, other) = (zeros(3, Kind::Float), zeros(2, Kind::Double));
        let large = zeros(7 << 20, Kind::Float);
        let all = [&small, &other, &large, &small];
        let sizes = |all: &[&Tensor]| {
            buckets(all).iter().map(|bucket| bucket.tensors.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&all), [1, 1, 1, 1]);
        assert_eq!(sizes(&[&small, &other, &small]), [2, 1]);
    }

    #[test]
    fn numbers_come_back_to_their_places() {
        let (a, b) = (Tensor::from_slice(&[1f32, 2.0]).view([1, 2]), Tensor::from(3f32));
        let all = [&a, &b];
        let bucket = &buckets(&all)[0];
        let flat = bucket.flat().unwrap();
        bucket.fill(&(flat * 2.0)).unwrap();
        assert_eq!(Vec::<f32>::try_from(&a.view([-1])).unwrap(), [2.0, 4.0]);
        assert_eq!(b.double_value(&[]), 6.0);
    }
}
