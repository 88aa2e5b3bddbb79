//! The stages of a ViT: runs of blocks of nearly equal length, each ending in a level.

/// Number of levels, as dense heads expect of any backbone.
const LEVELS: usize = 4;

/// Stages of a ViT of `depth` blocks: four, or as many as there are blocks.
pub(super) fn count(depth: usize) -> usize {
    depth.min(LEVELS)
}

/// The stage that holds block `index` of `depth`.
pub(super) fn of_block(index: usize, depth: usize) -> usize {
    index * count(depth) / depth
}

/// Whether block `index` of `depth` is the last of its stage.
pub(super) fn ends_with(index: usize, depth: usize) -> bool {
    index + 1 == depth || of_block(index + 1, depth) > of_block(index, depth)
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
