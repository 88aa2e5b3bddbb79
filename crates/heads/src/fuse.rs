//! All levels of a pyramid in one layer.

use polyptych_kernels::upsample;
use polyptych_tensor::{Conv2d, Tensor};

/// `conv`, of kernel 1, of all `levels`, `[batch, h, w, chans]`, resized to `finest` bilinearly and
/// put side by side.
///
/// Resizing and such a convolution commute, so each level passes the convolution at its own size;
/// the bias stays what it is, since the weights of a new pixel sum to 1.
pub(crate) fn fuse(conv: &Conv2d, levels: &[Tensor], finest: [i64; 2]) -> Tensor {
    let parts = conv.pointwise_parts(levels);
    let fits = |part: &&Tensor| part.size()[1..3] == finest;
    let (whole, coarse): (Vec<&Tensor>, Vec<&Tensor>) = parts.iter().partition(fits);
    let whole = whole.into_iter().map(Tensor::shallow_clone).reduce(|sum, part| sum + part);
    match (whole, coarse.is_empty()) {
        (Some(sum), true) => sum,
        (sum, _) => upsample(&coarse, sum.as_ref(), finest),
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind, Store};

    use super::*;
    use crate::testing::levels;

    #[test]
    fn it_is_the_convolution_of_resized_levels() {
        let store = Store::new(Device::Cpu);
        let conv = Conv2d::new(&store.root(), [4 + 3 + 5, 7], [1, 1], true).unwrap();
        let levels = levels(&[4, 3, 5], 2, Kind::Float).levels;
        for finest in [[12, 8], [13, 17]] {
            let wide: Vec<Tensor> = levels
                .iter()
                .map(|level| {
                    let map = level.permute([0, 3, 1, 2]);
                    map.upsample_bilinear2d(finest, false, None, None).permute([0, 2, 3, 1])
                })
                .collect();
            let plain = conv.pointwise(&Tensor::cat(&wide, -1));
            let apart = (fuse(&conv, &levels, finest) - &plain).norm() / plain.norm();
            assert!(apart.double_value(&[]) < 1e-6);
        }
    }
}
