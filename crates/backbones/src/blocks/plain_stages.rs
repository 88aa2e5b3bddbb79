//! The stages of a trunk on one resolution: runs of blocks of nearly equal length, each ending in a level.

use polyptych_tensor::{Result, Tensor};

use crate::backbone::FeatureInfo;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::tap::{ParallelPath, widen};

/// Number of levels, as dense heads expect of any backbone.
const LEVELS: usize = 4;

/// Stages of `depth` blocks: four, or as many as there are blocks.
pub(crate) fn count(depth: usize) -> usize {
    depth.min(LEVELS)
}

/// The stage that holds block `index` of `depth`.
pub(crate) fn of_block(index: usize, depth: usize) -> usize {
    index * count(depth) / depth
}

/// Whether block `index` of `depth` is the last of its stage.
pub(crate) fn ends_with(index: usize, depth: usize) -> bool {
    index + 1 == depth || of_block(index + 1, depth) > of_block(index, depth)
}

/// The scope of block `index` of `depth`.
pub(crate) fn block_scope<'a>(top: &LayerScope<'a>, index: usize, depth: usize) -> LayerScope<'a> {
    top.pp("blocks")
        .pp(index)
        .in_stage(of_block(index, depth), count(depth))
        .in_last_block(ends_with(index, depth))
}

/// One entry per stage of `depth` blocks of `num_chs` channels.
pub(crate) fn feature_info(depth: usize, num_chs: i64, patch_size: i64) -> Vec<FeatureInfo> {
    let ends = (0..depth).filter(|&index| ends_with(index, depth));
    let level =
        |index| FeatureInfo { num_chs, reduction: patch_size, module: format!("blocks.{index}") };
    ends.map(level).collect()
}

/// Widens the levels that taps beside blocks feed; `beside` has what stands beside each block, and
/// `top` says whether a final norm follows.
///
/// # Errors
/// As [`widen`].
pub(crate) fn widen_levels(
    levels: &mut [FeatureInfo],
    beside: &[&ParallelPath],
    top: bool,
) -> Result<()> {
    let depth = beside.len();
    for (stage, level) in levels.iter_mut().enumerate() {
        let within = |(index, _): &(usize, &&ParallelPath)| of_block(*index, depth) == stage;
        let paths = beside.iter().enumerate().filter(within).map(|(_, path)| *path);
        let last = stage + 1 == count(depth);
        widen(level, paths, (top && last).then_some("the final norm"))?;
    }
    Ok(())
}

/// `[batch, tokens, dim]` to the map of its patches, `[batch, rows, columns, dim]`; `before` of the
/// tokens are no patches.
pub(crate) fn map_of(tokens: &Tensor, before: i64, [rows, columns]: [i64; 2]) -> Tensor {
    tokens.narrow(1, before, rows * columns).unflatten(1, [rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_evenly_spaced_and_close_with_the_last_block() {
        let ends = |depth| (0..depth).filter(|&i| ends_with(i, depth)).collect::<Vec<_>>();
        assert_eq!(ends(12), [2, 5, 8, 11]);
        assert_eq!(ends(24), [5, 11, 17, 23]);
        assert_eq!(ends(6), [1, 2, 4, 5]);
        assert_eq!(ends(3), [0, 1, 2]);
        assert_eq!(of_block(8, 12), 2);
    }
}
