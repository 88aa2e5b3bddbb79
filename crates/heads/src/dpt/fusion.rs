//! One step from coarse to fine.

use polyptych_tensor::{Conv2d, Result, Scope, Tensor};

/// `residual_layer1`, where there is something coarser, `residual_layer2` and `projection`.
#[derive(Debug)]
pub(super) struct FusionLayer {
    first: Option<ResidualUnit>,
    second: ResidualUnit,
    projection: Conv2d,
}

impl FusionLayer {
    pub(super) fn new(scope: &Scope, dim: i64, has_coarser: bool) -> Result<Self> {
        let first = || ResidualUnit::new(&scope.pp("residual_layer1"), dim);
        Ok(Self {
            first: has_coarser.then(first).transpose()?,
            second: ResidualUnit::new(&scope.pp("residual_layer2"), dim)?,
            projection: Conv2d::new(&scope.pp("projection"), [dim, dim], [1, 1], true)?,
        })
    }

    /// `level` and what came of the coarser ones, `[batch, dim, height, width]` both, at the size
    /// of the next finer one, or at twice their own.
    pub(super) fn forward(
        &self,
        coarse: Option<&Tensor>,
        level: &Tensor,
        next: Option<[i64; 2]>,
    ) -> Tensor {
        let sum = match (&self.first, coarse) {
            (Some(unit), Some(coarse)) => coarse + unit.forward(level),
            _ => level.shallow_clone(),
        };
        let size = [sum.size()[2], sum.size()[3]];
        let next = next.unwrap_or(size.map(|side| 2 * side));
        let resized = self.second.forward(&sum).upsample_bilinear2d(next, true, None, None);
        self.projection.forward(&resized)
    }
}

/// `convolution1` and `convolution2`, of kernel 3, each behind a ReLU, beside the stream.
#[derive(Debug)]
struct ResidualUnit([Conv2d; 2]);

impl ResidualUnit {
    fn new(scope: &Scope, dim: i64) -> Result<Self> {
        let conv = |name: &str| {
            let conv = Conv2d::new(&scope.pp(name), [dim, dim], [3, 1], true);
            conv.map(|conv| conv.with_padding(1))
        };
        Ok(Self([conv("convolution1")?, conv("convolution2")?]))
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let [first, second] = &self.0;
        x + second.forward(&first.forward(&x.relu()).relu())
    }
}
