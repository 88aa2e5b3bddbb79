//! Biases of relative positions among the patches of an image and its class token.
//!
//! Of the rows of a table of `[(2 * rows - 1) * (2 * columns - 1) + 3, heads]`, the last three are
//! from the class token to patches, from patches to it, and from it to itself.

use std::cell::RefCell;

use polyptych_tensor::{Device, Init, ParameterKind, Result, Scope, Tensor};

use super::config::BeitConfig;
use crate::weights::resample::{fitted_table, relative_position_maps};

/// Rows of the class token.
pub(super) const EXTRA: i64 = 3;

/// timm's `relative_position_bias_table`.
#[derive(Debug)]
pub(super) struct RelativeBias {
    table: Tensor,
    /// Rows and columns of patches that the table is for.
    grid: [i64; 2],
    /// What fits the table to the last other grid. Exports trace a second pass: numbers that the
    /// first one made are constants there.
    maps: RefCell<Option<([i64; 2], [Tensor; 2])>>,
}

impl RelativeBias {
    /// Starts at zero, as timm's.
    pub(super) fn new(scope: &Scope, config: &BeitConfig) -> Result<Self> {
        let grid = config.grid();
        let shape = [offsets(grid) + EXTRA, config.num_heads];
        let scope = scope.of_kind(ParameterKind::RelativePositionBias);
        let table = scope.param("relative_position_bias_table", &shape, Init::ZEROS)?;
        Ok(Self { table, grid, maps: RefCell::default() })
    }

    /// `[1, heads, 1 + patches, 1 + patches]` for the patches of `grid`, to which the table is
    /// fitted where it is for others; `index` is that of [`Positions::index`].
    pub(super) fn of_grid(&self, grid: [i64; 2], index: &Tensor) -> Tensor {
        let tokens = 1 + grid[0] * grid[1];
        let table = self.fitted(grid).index_select(0, index);
        table.view([1, tokens, tokens, -1]).permute([0, 3, 1, 2])
    }

    fn fitted(&self, grid: [i64; 2]) -> Tensor {
        if grid == self.grid {
            return self.table.shallow_clone();
        }
        let own = offsets(self.grid);
        let mut last = self.maps.borrow_mut();
        let kept = last.take().filter(|(of, _)| *of == grid);
        let (_, maps) = last.insert(kept.unwrap_or_else(|| {
            let maps = relative_position_maps(self.grid.map(offsets_along), grid);
            (grid, maps.map(|map| map.to_device(self.table.device())))
        }));
        let near = fitted_table(&self.table.narrow(0, 0, own), maps);
        Tensor::cat(&[near, self.table.narrow(0, own, EXTRA)], 0)
    }
}

/// Offsets between two positions of an extent.
fn offsets_along(extent: i64) -> i64 {
    2 * extent - 1
}

/// Offsets between two patches of a grid.
fn offsets([rows, columns]: [i64; 2]) -> i64 {
    offsets_along(rows) * offsets_along(columns)
}

/// `bias`, `[1, heads, 1 + patches, 1 + patches]`, for a stream with `prompts` behind the class
/// token, which have no position: their biases are 0.
pub(super) fn around_prompts(bias: &Tensor, prompts: i64) -> Tensor {
    if prompts == 0 {
        return bias.shallow_clone();
    }
    let along = |bias: &Tensor, axis: i64| {
        let first = bias.narrow(axis, 0, 1);
        let mut shape = bias.size();
        shape[axis as usize] = prompts;
        let zeros = first.zeros_like().expand(shape, false);
        Tensor::cat(&[first, zeros, bias.slice(axis, 1, None, 1)], axis)
    };
    along(&along(bias, 2), 3)
}

/// Which row of a table stands between two tokens; the last grid's is kept.
#[derive(Debug, Default)]
pub(super) struct Positions(RefCell<Option<([i64; 2], Device, Tensor)>>);

impl Positions {
    /// `[(1 + patches)^2]`: from each token to each, for `[rows, columns]` of patches.
    pub(super) fn index(&self, grid: [i64; 2], device: Device) -> Tensor {
        let mut last = self.0.borrow_mut();
        let kept = last.take().filter(|(of, on, _)| *of == grid && *on == device);
        let (_, _, index) =
            last.insert(kept.unwrap_or_else(|| (grid, device, index(grid).to_device(device))));
        index.shallow_clone()
    }
}

fn index(grid: [i64; 2]) -> Tensor {
    let ([rows, columns], first) = (grid, offsets(grid));
    let patches = || (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let mut all = vec![first; (1 + rows * columns) as usize];
    all[0] = first + 2;
    for (row, column) in patches() {
        all.push(first + 1);
        all.extend(patches().map(|(to_row, to_column)| {
            let (down, right) = (row - to_row + rows - 1, column - to_column + columns - 1);
            down * offsets_along(columns) + right
        }));
    }
    Tensor::from_slice(&all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Kind;

    #[test]
    fn the_class_token_has_rows_of_its_own() {
        let found = Vec::<i64>::try_from(index([1, 2])).unwrap();
        // Offsets of one row of two: -1, 0, 1; then to patches, from patches, to itself.
        assert_eq!(found, [5, 3, 3, 4, 1, 0, 4, 2, 1]);
    }

    #[test]
    fn prompts_have_no_bias() {
        let bias = Tensor::ones([1, 2, 3, 3], (Kind::Float, Device::Cpu));
        let with = around_prompts(&bias, 2);
        assert_eq!(with.size(), [1, 2, 5, 5]);
        let row = Vec::<f32>::try_from(with.select(1, 0).select(1, 0).view([-1])).unwrap();
        assert_eq!(row, [1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(with.select(2, 1).abs().max().double_value(&[]), 0.0);
    }
}
