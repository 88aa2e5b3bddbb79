//! Many tensors as few flat ones: an operation of the group costs a round trip, whatever its size.

use polyptych_tensor::{Kind, TchError, Tensor};

/// Bytes of a flat tensor, unless one tensor alone has more: that of PyTorch's DDP.
const BUCKET_BYTES: usize = 25 << 20;

/// Places of tensors of one type that are reduced together.
pub(crate) struct Bucket {
    places: Vec<usize>,
}

/// `tensors` in buckets: of one type each, in their order.
pub(crate) fn buckets(tensors: &[&Tensor]) -> Vec<Bucket> {
    let mut all: Vec<(Kind, usize, Bucket)> = Vec::new();
    for (place, tensor) in tensors.iter().enumerate() {
        let (kind, bytes) = (tensor.kind(), bytes(tensor));
        match all.iter_mut().rfind(|(of, _, _)| *of == kind) {
            Some((_, sum, bucket)) if *sum + bytes <= BUCKET_BYTES => {
                *sum += bytes;
                bucket.places.push(place);
            }
            _ => all.push((kind, bytes, Bucket { places: vec![place] })),
        }
    }
    all.into_iter().map(|(_, _, bucket)| bucket).collect()
}

/// Bytes of the numbers of `tensor`.
pub(crate) fn bytes(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

impl Bucket {
    /// All numbers of its tensors among `tensors`, one behind the other, in memory of its own.
    ///
    /// # Errors
    /// Tensors of several devices.
    pub(crate) fn flat(&self, tensors: &[&Tensor]) -> Result<Tensor, TchError> {
        let part = |&place: &usize| tensors[place].detach().reshape([-1]);
        match &self.places[..] {
            [one] => Ok(part(one).copy()),
            places => Tensor::f_cat(&places.iter().map(part).collect::<Vec<_>>(), 0),
        }
    }

    /// Puts views of `flat`, shaped as its tensors among `tensors`, to their places in `into`.
    pub(crate) fn take_apart(&self, flat: &Tensor, tensors: &[&Tensor], into: &mut [Tensor]) {
        let mut start = 0;
        for &place in &self.places {
            let len = tensors[place].numel() as i64;
            into[place] = flat.narrow(0, start, len).view_as(tensors[place]);
            start += len;
        }
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
        let places = |all: &[&Tensor]| {
            buckets(all).into_iter().map(|bucket| bucket.places).collect::<Vec<_>>()
        };
        assert_eq!(places(&[&small, &other, &large, &small]), [vec![0], vec![1], vec![2], vec![3]]);
        assert_eq!(places(&[&small, &other, &small]), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn numbers_come_back_in_their_shapes() {
        let (a, b) = (Tensor::from_slice(&[1f32, 2.0]).view([1, 2]), Tensor::from(3f32));
        let all = [&a, &b];
        let bucket = &buckets(&all)[0];
        let mut sums = [Tensor::new(), Tensor::new()];
        bucket.take_apart(&(bucket.flat(&all).unwrap() * 2.0), &all, &mut sums);
        assert_eq!((sums[0].size(), sums[1].size()), (vec![1, 2], vec![]));
        assert_eq!((sums[0].double_value(&[0, 1]), sums[1].double_value(&[])), (4.0, 6.0));
        assert_eq!(a.double_value(&[0, 1]), 2.0);
    }
}
