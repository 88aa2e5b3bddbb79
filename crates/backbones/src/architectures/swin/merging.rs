//! Patch merging: four neighbours become one position of twice the width.

use polyptych_tensor::{Activations, LayerNorm, Projection, Result, SiteKind, Tensor};

use super::pad::pad;
use crate::blocks::layer_scope::LayerScope;

/// timm's `downsample`: `norm`, then `reduction` without bias; the other way round in Swin V2.
#[derive(Debug)]
pub(super) struct PatchMerging {
    norm: LayerNorm,
    reduction: Box<dyn Projection>,
    is_post_norm: bool,
}

impl PatchMerging {
    /// From `dim` to `2 * dim` channels.
    pub(super) fn new(scope: &LayerScope, dim: i64, is_post_norm: bool) -> Result<Self> {
        let reduction =
            scope.projection("reduction", SiteKind::Reduction, [4 * dim, 2 * dim], false)?;
        let width = if is_post_norm { 2 * dim } else { 4 * dim };
        let norm = LayerNorm::new(&scope.params.pp("norm"), width, super::config::NORM_EPS)?;
        Ok(Self { norm, reduction, is_post_norm })
    }

    /// `[batch, height, width, dim]` to `[batch, height / 2, width / 2, 2 * dim]`, rounded up.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        match self.is_post_norm {
            false => self.reduction.forward(&x.map(|t| self.norm.forward(&gather(t))), train),
            true => self.reduction.forward(&x.map(gather), train).map(|t| self.norm.forward(t)),
        }
    }
}

/// Neighbours side by side in the order (row, column) = (0, 0), (1, 0), (0, 1), (1, 1); odd sides
/// get a row or column of zeros.
fn gather(x: &Tensor) -> Tensor {
    let [height, width] = [x.size()[1], x.size()[2]];
    let [height, width] = [height + height % 2, width + width % 2];
    let even = pad(x, [height, width]);
    even.reshape([-1, height / 2, 2, width / 2, 2, x.size()[3]])
        .permute([0, 1, 3, 4, 2, 5])
        .flatten(3, 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn neighbours_come_column_by_column() {
        let map = Tensor::arange(9, (Kind::Float, Device::Cpu)).view([1, 3, 3, 1]);
        let gathered = gather(&map);
        assert_eq!(gathered.size(), [1, 2, 2, 4]);
        let flat = Vec::<f32>::try_from(gathered.view([-1])).unwrap();
        assert_eq!(flat[..4], [0.0, 3.0, 1.0, 4.0]);
        assert_eq!(flat[12..], [8.0, 0.0, 0.0, 0.0]);
    }
}
