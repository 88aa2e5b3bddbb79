//! Numbers of less than 8 bits, of which a byte holds several.

/// The numbers of rows that begin with a byte each, `row` numbers of `bits` (1, 2 or 4) in a row, the
/// first in the highest bits.
pub(crate) fn unpacked(
    packed: &[u8],
    line_size: usize,
    row: usize,
    bits: usize,
) -> impl Iterator<Item = u8> {
    let mask = (1 << bits) - 1;
    let value =
        move |line: &[u8], k: usize| (line[k * bits / 8] >> (8 - bits - k * bits % 8)) & mask;
    let lines = packed.chunks_exact(line_size.max(1));
    lines.flat_map(move |line| (0..row).map(move |k| value(line, k)))
}
