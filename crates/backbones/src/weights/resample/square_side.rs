//! Grids and windows that are square.

/// The side of a square of `area`.
pub(crate) fn square_side(area: i64) -> Option<i64> {
    let side = (area.max(0) as f64).sqrt().round() as i64;
    (side > 0 && side * side == area).then_some(side)
}
