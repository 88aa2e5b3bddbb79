//! Singular vectors of a frozen weight, computed once.

use std::cell::{Ref, RefCell};

use polyptych_tensor::{Kind, Tensor, no_grad};

use crate::blocks::tensors::widened;

/// `W = U diag(s) V^T` of every part of a weight.
#[derive(Debug)]
pub(crate) struct Svd {
    /// `[parts, rows, k]`.
    pub(crate) u: Tensor,
    /// `[parts, k]`, the largest first.
    pub(crate) s: Tensor,
    /// `[parts, k, in]`.
    pub(crate) vt: Tensor,
}

impl Svd {
    /// Of `parts` matrices, one below the other in `weight`: `[out, in]`.
    fn new(weight: &Tensor, parts: i64) -> Self {
        let [out, width] = weight.size()[..] else { unreachable!("a weight is [out, in]") };
        let kind = widened(weight).kind();
        let matrices = weight.detach().to_kind(Kind::Double).view([parts, out / parts, width]);
        // What a method puts together of them again is the weight up to its last digit.
        let (u, s, v) = no_grad(|| matrices.svd(true, true));
        let [u, s, vt] = [u, s, v.transpose(-2, -1)].map(|t| t.to_kind(kind));
        Self { u, s, vt }
    }
}

/// The decomposition of a weight as it was written last.
#[derive(Debug)]
pub(crate) struct SvdCache {
    parts: i64,
    /// With the count of writes to the weight.
    known: RefCell<Option<(i64, Svd)>>,
}

impl SvdCache {
    /// For weights of `parts` matrices.
    pub(crate) fn new(parts: i64) -> Self {
        Self { parts, known: RefCell::default() }
    }

    /// Of `weight`; a weight that has not been written since the last call is not decomposed again.
    pub(crate) fn of(&self, weight: &Tensor) -> Ref<'_, Svd> {
        let version = weight.internal_version();
        let is_known = |known: &Option<(i64, Svd)>| known.as_ref().is_some_and(|k| k.0 == version);
        if !is_known(&self.known.borrow()) {
            *self.known.borrow_mut() = Some((version, Svd::new(weight, self.parts)));
        }
        Ref::map(self.known.borrow(), |known| &known.as_ref().expect("decomposed above").1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    #[test]
    fn a_decomposition_lasts_until_the_weight_is_written() {
        let mut weight = Tensor::randn([6, 4], (Kind::Float, Device::Cpu));
        let cache = SvdCache::new(1);
        let pointer = |weight: &Tensor| cache.of(weight).u.data_ptr() as usize;
        let known = pointer(&weight);
        assert_eq!(pointer(&weight), known);
        let again = Tensor::randn([6, 4], (Kind::Float, Device::Cpu));
        weight.copy_(&again);
        assert!(cache.of(&weight).u.equal(&SvdCache::new(1).of(&again).u));
    }

    #[test]
    fn parts_are_decomposed_apart() {
        let weight = Tensor::randn([12, 4], (Kind::Float, Device::Cpu));
        let cache = SvdCache::new(3);
        let Svd { u, s, vt } = &*cache.of(&weight);
        assert_eq!((u.size(), s.size(), vt.size()), (vec![3, 4, 4], vec![3, 4], vec![3, 4, 4]));
        let found = (u * s.unsqueeze(1)).matmul(vt).view([12, 4]);
        assert!((found - weight).abs().max().double_value(&[]) < 1e-5);
    }
}
