//! Boundaries one pixel wide, which averaging would blur and sampling would break.

use ndarray::{Array2, ArrayView2};

/// Pixels of a row that are looked at together.
const CHUNK: usize = 32;

/// Sets 1 wherever a boundary pixel of the source lands, on top of `map`, the label under each
/// pixel's centre (which closes the gaps that landing leaves where the source is enlarged).
///
/// `land` gives row and column of the result for those of the source.
pub(crate) fn landed(
    source: ArrayView2<u8>,
    mut map: Array2<u8>,
    land: impl Fn(usize, usize) -> Option<(usize, usize)>,
) -> Array2<u8> {
    let source = source.as_standard_layout();
    for (y, row) in source.rows().into_iter().enumerate() {
        let row = row.to_slice().expect("standard layout is contiguous");
        // Boundaries are rare: most chunks are seen to have none at once.
        for (chunk, labels) in row.chunks(CHUNK).enumerate() {
            if !labels.iter().fold(false, |any, &label| any | (label == 1)) {
                continue;
            }
            let boundary = labels.iter().enumerate().filter(|&(_, &label)| label == 1);
            for place in boundary.filter_map(|(x, _)| land(y, CHUNK * chunk + x)) {
                map[place] = 1;
            }
        }
    }
    map
}
