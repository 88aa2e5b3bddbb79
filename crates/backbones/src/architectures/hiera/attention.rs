//! Attention within units or among all positions, whose queries are pooled where the map shrinks.

use polyptych_kernels::attention;
use polyptych_tensor::{Activations, Projection, Result, SiteKind, Tensor};

use crate::blocks::cross_attention::cross_attention;
use crate::blocks::layer_scope::LayerScope;

/// Rows and columns that one query is pooled from: timm's `q_stride`.
const POOLED: i64 = 2;

/// timm's `attn`: `qkv`, `proj`.
#[derive(Debug)]
pub(super) struct Attention {
    qkv: Box<dyn Projection>,
    proj: Box<dyn Projection>,
    config: AttentionConfig,
}

/// What a block's attention is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionConfig {
    /// Channels that go in and come out.
    pub(super) dims: [i64; 2],
    pub(super) heads: i64,
    /// Whether queries are pooled, and so half as many rows and columns come out.
    pub(super) pools: bool,
    /// Rows and columns of a unit of the map that goes in; none for attention among all positions.
    pub(super) unit: Option<i64>,
}

impl Attention {
    pub(super) fn new(scope: &LayerScope, config: AttentionConfig) -> Result<Self> {
        let [dim, dim_out] = config.dims;
        Ok(Self {
            qkv: scope.projection("qkv", SiteKind::Qkv, [dim, 3 * dim_out], true)?,
            proj: scope.projection("proj", SiteKind::Proj, [dim_out, dim_out], true)?,
            config,
        })
    }

    /// `[batch, height, width, dim]` to the same, or to `[batch, height / 2, width / 2, dim_out]`.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let qkv = self.qkv.forward(x, train);
        self.proj.forward(&qkv.map(|t| self.mix(t)), train)
    }

    fn mix(&self, qkv: &Tensor) -> Tensor {
        let size = qkv.size();
        let unit = self.config.unit.map_or([size[1], size[2]], |unit| [unit; 2]);
        let units = [size[1] / unit[0], size[2] / unit[1]];
        let cut = into_units(qkv, units);
        let mixed = match self.config.pools {
            false => attention(&cut.flatten(1, 2), self.config.heads, None),
            true => self.pooled(&cut),
        };
        let shrunk = if self.config.pools { unit.map(|side| side / POOLED) } else { unit };
        out_of_units(&mixed.unflatten(1, shrunk), units)
    }

    /// `[units, rows, columns, 3 * dim]` to `[units, rows * columns / 4, dim]`.
    fn pooled(&self, cut: &Tensor) -> Tensor {
        let dim = self.config.dims[1];
        let part = |index: i64| cut.narrow(-1, index * dim, dim);
        let query = max_pool(&part(0)).flatten(1, 2);
        let (key, value) = (part(1).flatten(1, 2), part(2).flatten(1, 2));
        cross_attention(&query, &key, &value, self.config.heads)
    }
}

/// The cells of [`POOLED`] rows and columns: `[batch, height, width, dim]` to
/// `[batch, height / 2, 2, width / 2, 2, dim]`.
fn cells(map: &Tensor) -> Tensor {
    let size = map.size();
    let [rows, columns] = [size[1] / POOLED, size[2] / POOLED];
    map.reshape([size[0], rows, POOLED, columns, POOLED, size[3]])
}

/// The largest number of each cell, `[batch, height, width, dim]` to
/// `[batch, height / 2, width / 2, dim]`.
pub(super) fn max_pool(map: &Tensor) -> Tensor {
    cells(map).amax([2i64, 4].as_slice(), false)
}

/// The same with the mean of each cell.
pub(super) fn mean_pool(map: &Tensor) -> Tensor {
    cells(map).mean_dim([2i64, 4].as_slice(), false, map.kind())
}

/// `[batch, height, width, dim]` to `[batch * rows * columns, height / rows, width / columns, dim]`
/// for `[rows, columns]` of units.
fn into_units(map: &Tensor, [rows, columns]: [i64; 2]) -> Tensor {
    if [rows, columns] == [1, 1] {
        return map.shallow_clone();
    }
    let cut = map.unflatten(2, [columns, -1]).unflatten(1, [rows, -1]);
    cut.permute([0, 1, 3, 2, 4, 5]).flatten(0, 2)
}

/// The inverse of [`into_units`].
fn out_of_units(cut: &Tensor, [rows, columns]: [i64; 2]) -> Tensor {
    let joined = cut.unflatten(0, [-1, rows, columns]).permute([0, 1, 3, 2, 4, 5]);
    joined.flatten(3, 4).flatten(1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn units_hold_neighbours_and_go_back_to_their_place() {
        let map = Tensor::arange(2 * 4 * 6, (Kind::Float, Device::Cpu)).view([2, 4, 6, 1]);
        let cut = into_units(&map, [2, 3]);
        assert_eq!(cut.size(), [12, 2, 2, 1]);
        let second = Vec::<f32>::try_from(cut.select(0, 1).reshape([-1])).unwrap();
        assert_eq!(second, [2.0, 3.0, 8.0, 9.0]);
        assert!(out_of_units(&cut, [2, 3]).equal(&map));
        assert_eq!(max_pool(&map).double_value(&[0, 1, 2, 0]), 23.0);
        assert_eq!(mean_pool(&map).double_value(&[0, 0, 0, 0]), 3.5);
    }
}
