//! Non-maximum suppression: a soft edge map keeps its crest lines only.
//!
//! Across an edge the map is curved most. The direction of the strongest curvature comes from the
//! Hessian of the smoothed map, and a pixel stays if it is not lower than the map one pixel away on
//! either side. Measures are those of the structured-edges toolbox (Dollár and Zitnick
//! 2015): smoothing by a triangle of radius 4, margin 1.01.

use ndarray::{Array2, ArrayView2, Axis};

/// Radius of the triangle filter in pixels; it only steadies directions, values stay sharp.
const SMOOTHING: usize = 4;
/// A pixel may be this much lower than its neighbours and stay, so that plateaus survive until
/// thinning takes their middle.
const MARGIN: f32 = 1.01;

/// `map` with 0 where it is not a crest.
pub(super) fn suppress(map: ArrayView2<f32>) -> Array2<f32> {
    let smooth = triangle(&triangle(&map.to_owned(), Axis(0)), Axis(1));
    let (along_x, along_y) = (gradient(&smooth, Axis(1)), gradient(&smooth, Axis(0)));
    let xx = gradient(&along_x, Axis(1));
    let yy = gradient(&along_y, Axis(0));
    let xy = gradient(&along_x, Axis(0));
    Array2::from_shape_fn(map.dim(), |at| {
        let value = map[at];
        let keep = value > 0.0 && is_crest(map, at, across(xx[at], yy[at], xy[at]));
        if keep { value } else { 0.0 }
    })
}

/// Unit vector `(x, y)` along the eigenvalue of the Hessian that is largest in magnitude: negative
/// on a crest, positive on its flanks, and in both cases across the edge.
fn across(xx: f32, yy: f32, xy: f32) -> (f32, f32) {
    let upward = 0.5 * (2.0 * xy).atan2(xx - yy);
    let (sin, cos) = upward.sin_cos();
    if xx + yy > 0.0 { (cos, sin) } else { (-sin, cos) }
}

fn is_crest(map: ArrayView2<f32>, (y, x): (usize, usize), (dx, dy): (f32, f32)) -> bool {
    let (x0, y0) = (x as f32, y as f32);
    let neighbour = bilinear(map, x0 + dx, y0 + dy).max(bilinear(map, x0 - dx, y0 - dy));
    MARGIN * map[(y, x)] >= neighbour
}

/// The map between its pixels, continued by its border.
fn bilinear(map: ArrayView2<f32>, x: f32, y: f32) -> f32 {
    let (x0, x1, fx) = between(x, map.ncols());
    let (y0, y1, fy) = between(y, map.nrows());
    let row = |y: usize| map[(y, x0)] * (1.0 - fx) + map[(y, x1)] * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

fn between(at: f32, length: usize) -> (usize, usize, f32) {
    let last = length - 1;
    let at = at.clamp(0.0, last as f32);
    let low = at as usize;
    (low, (low + 1).min(last), at - low as f32)
}

/// Weighted mean over `2 SMOOTHING + 1` pixels along `axis`, continued by its border.
fn triangle(map: &Array2<f32>, axis: Axis) -> Array2<f32> {
    let last = map.len_of(axis) - 1;
    let side = SMOOTHING + 1;
    let mut smooth = Array2::zeros(map.dim());
    for (index, mut lane) in smooth.axis_iter_mut(axis).enumerate() {
        for tap in 0..=2 * SMOOTHING {
            let weight = (side - tap.abs_diff(SMOOTHING)) as f32 / (side * side) as f32;
            let from = (index + tap).saturating_sub(SMOOTHING).min(last);
            lane.scaled_add(weight, &map.index_axis(axis, from));
        }
    }
    smooth
}

/// Central differences along `axis`, one-sided at the border.
fn gradient(map: &Array2<f32>, axis: Axis) -> Array2<f32> {
    let last = map.len_of(axis) - 1;
    let mut slopes = Array2::zeros(map.dim());
    for (index, mut lane) in slopes.axis_iter_mut(axis).enumerate() {
        let (before, after) = (index.saturating_sub(1), (index + 1).min(last));
        let weight = 1.0 / (after - before).max(1) as f32;
        lane.scaled_add(weight, &map.index_axis(axis, after));
        lane.scaled_add(-weight, &map.index_axis(axis, before));
    }
    slopes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ridge of Gaussian profile along the line at `angle` through the centre.
    fn ridge(angle: f32) -> Array2<f32> {
        Array2::from_shape_fn((41, 51), |(y, x)| {
            (-0.5 * (distance(angle, y, x) / 2.0).powi(2)).exp()
        })
    }

    fn distance(angle: f32, y: usize, x: usize) -> f32 {
        (y as f32 - 20.0) * angle.cos() - (x as f32 - 25.0) * angle.sin()
    }

    #[test]
    fn a_ridge_in_any_direction_keeps_its_crest() {
        for step in 0..12 {
            let angle = (15.0 * step as f32).to_radians();
            let map = ridge(angle);
            let crest = suppress(map.view());
            for ((y, x), &value) in crest.indexed_iter() {
                let inside = (5..36).contains(&y) && (5..46).contains(&x);
                let away = distance(angle, y, x).abs();
                if inside && value > 0.01 {
                    assert!(away < 1.0, "angle {step}: kept {away} away at {y} {x}");
                }
                if inside && away < 0.4 {
                    assert_eq!(value, map[(y, x)], "angle {step}: lost {away} away at {y} {x}");
                }
            }
        }
    }

    #[test]
    fn binary_and_constant_maps_stay() {
        let binary = Array2::from_shape_fn((9, 9), |(y, x)| f32::from(u8::from((x * y) % 3 == 1)));
        assert_eq!(suppress(binary.view()), binary);
        let constant = Array2::from_elem((1, 1), 0.5);
        assert_eq!(suppress(constant.view()), constant);
    }
}
