//! Boundaries one pixel wide, which averaging would blur and sampling would break.

use ndarray::{Array2, ArrayView2};

/// Sets 1 wherever a boundary pixel of the source lands, on top of `map`, the label under each
/// pixel's centre (which closes the gaps that landing leaves where the source is enlarged).
///
/// `land` gives row and column of the result for those of the source.
pub(crate) fn landed(
    source: ArrayView2<u8>,
    mut map: Array2<u8>,
    land: impl Fn(usize, usize) -> Option<(usize, usize)>,
) -> Array2<u8> {
    for (y, row) in source.rows().into_iter().enumerate() {
        let boundary = row.iter().enumerate().filter(|&(_, &label)| label == 1);
        for place in boundary.filter_map(|(x, _)| land(y, x)) {
            map[place] = 1;
        }
    }
    map
}
