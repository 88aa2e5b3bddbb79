//! All levels of a pyramid in one layer, and what follows it.

use polyptych_kernels::{BatchNorm, fused_head, linear, upsample};
use polyptych_tensor::{BatchNorm2d, Conv2d, Tensor, columns};

use crate::error::Result;

/// Two convolutions of kernel 1 with a batch normalisation and a ReLU between them.
#[derive(Debug)]
pub(crate) struct HiddenLayer {
    pub(crate) conv: Conv2d,
    pub(crate) norm: BatchNorm2d,
    pub(crate) output: Conv2d,
}

impl HiddenLayer {
    /// Of all `levels`, `[batch, h, w, chans]`, as [`fuse`] joins them: `[batch, height, width,
    /// outputs]`. Where one level alone has the finest size, the hidden layer need not be kept.
    ///
    /// # Errors
    /// As [`BatchNorm2d::forward_relu`].
    pub(crate) fn forward(
        &self,
        levels: &[Tensor],
        finest: [i64; 2],
        train: bool,
    ) -> Result<Tensor> {
        let fits = |level: &Tensor| level.size()[1..3] == finest;
        let mut places = (0..levels.len()).filter(|&at| fits(&levels[at]));
        match (places.next(), places.next(), self.norm.alone(train)) {
            (Some(at), None, Some(norm)) => Ok(self.fused(levels, at, &norm, train)),
            _ => {
                let hidden = fuse(&self.conv, levels, finest);
                Ok(self.output.pointwise(&self.norm.forward_relu(&hidden, train)?))
            }
        }
    }

    /// `whole` is the place of the level of the finest size.
    fn fused(&self, levels: &[Tensor], whole: usize, norm: &BatchNorm, train: bool) -> Tensor {
        let kind = levels[whole].kind();
        let (weight, bias) = self.conv.linear_parts(kind);
        let mut weights = columns(&weight, levels);
        let weight = weights.remove(whole);
        let others = (0..levels.len()).filter(|at| *at != whole).zip(&weights);
        let coarse: Vec<Tensor> =
            others.map(|(at, weight)| linear(&levels[at], weight, None)).collect();
        let coarse: Vec<&Tensor> = coarse.iter().collect();
        let (last, last_bias) = self.output.linear_parts(kind);
        let second = (&last, last_bias.as_ref());
        fused_head(&levels[whole], &coarse, (&weight, bias.as_ref()), norm, second, train)
    }
}

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
