//! A patch embedding for patches of another size: FlexiViT's pseudo-inverse resize (Beyer et al.,
//! arXiv 2212.08013, section 3.4), as timm does it.

use polyptych_tensor::{Kind, Tensor};

/// Singular values below this part of the largest count as 0, as in NumPy.
const RCOND: f64 = 1e-15;

/// Fits `[out, in, height, width]` to `[out, in, rows, columns]`.
///
/// `w' = (B^T)^+ w`, where `B` is the matrix of the bicubic resize with antialiasing of patches from
/// the old size to the new one: a patch `x` that is enlarged has `<w', B x> = <w, x>`, so tokens stay
/// as they were. `None` for a tensor of another shape.
pub fn patch_embed(kernel: &Tensor, [rows, columns]: [i64; 2]) -> Option<Tensor> {
    let [out, chans, height, width] = kernel.size()[..] else { return None };
    if rows < 1 || columns < 1 || height < 1 || width < 1 {
        return None;
    }
    let (old, new) = (height * width, rows * columns);
    let basis = Tensor::eye(old, (Kind::Float, kernel.device())).view([old, 1, height, width]);
    let resized = basis.internal_upsample_bicubic2d_aa([rows, columns], false, None, None);
    let inverse = resized.view([old, new]).to_kind(Kind::Double).pinverse(RCOND);
    let fitted = kernel.to_kind(Kind::Double).reshape([-1, old]).matmul(&inverse.transpose(0, 1));
    Some(fitted.view([out, chans, rows, columns]).to_kind(kernel.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    #[test]
    fn tokens_of_enlarged_patches_stay_as_they_were() {
        let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (kernel, patches) = (random(&[5, 3, 4, 4]), random(&[7, 3, 4, 4]));
        let fitted = patch_embed(&kernel, [6, 8]).unwrap();
        let enlarged = patches.internal_upsample_bicubic2d_aa([6, 8], false, None, None);
        let tokens = |patches: &Tensor, kernel: &Tensor| {
            patches.flatten(1, 3).matmul(&kernel.flatten(1, 3).transpose(0, 1))
        };
        let (found, expected) = (tokens(&enlarged, &fitted), tokens(&patches, &kernel));
        assert!(found.allclose(&expected, 1e-4, 1e-4, false), "{found} {expected}");
        assert!(patch_embed(&random(&[5, 3, 4]), [6, 6]).is_none());
    }
}
