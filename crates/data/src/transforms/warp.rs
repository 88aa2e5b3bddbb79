//! One pass over the pixels of the result: every map of a sample moves by the same geometry.

use std::f64::consts::FRAC_1_SQRT_2;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use super::geometry::Geometry;
use super::unit::normalised;
use crate::sample::IGNORE;

/// Colours, averaged over the area that a pixel of the result covers; `fill` outside.
pub(crate) fn image(source: ArrayView3<u8>, map: &Geometry, fill: [u8; 3]) -> Array3<f32> {
    let grid = map.grid(1.0);
    let share = 1.0 / grid.len() as f32;
    let outside = fill.map(f32::from);
    per_pixel(map.output, |y, x| {
        let mut sum = [0.0; 3];
        for [du, dv] in &grid {
            let found = map.locate(x + du, y + dv);
            let colour = found.map_or(outside, |[x, y]| bilinear(&source, x, y));
            (0..3).for_each(|c| sum[c] += colour[c]);
        }
        sum.map(|v| v * share)
    })
}

/// The value under the centre of each pixel of the result; `outside` where there is none.
pub(crate) fn nearest<T: Copy>(source: ArrayView2<T>, map: &Geometry, outside: T) -> Array2<T> {
    let [height, width] = map.output;
    Array2::from_shape_fn((height, width), |(y, x)| {
        let found = map.locate(x as f64 + 0.5, y as f64 + 0.5);
        found.map_or(outside, |[x, y]| source[[y as usize, x as usize]])
    })
}

/// 1 where any pixel under the result's pixel is 1, so that boundaries one pixel wide survive;
/// 255 where nothing is labelled.
pub(crate) fn any(source: ArrayView2<u8>, map: &Geometry) -> Array2<u8> {
    // A turned lattice of this pitch meets every pixel of the source.
    let grid = map.grid(FRAC_1_SQRT_2);
    let [height, width] = map.output;
    Array2::from_shape_fn((height, width), |(y, x)| {
        let reads = grid.iter().filter_map(|[u, v]| map.locate(x as f64 + u, y as f64 + v));
        strongest(reads.map(|[x, y]| source[[y as usize, x as usize]]))
    })
}

/// Unit vectors, averaged over what a pixel covers, mirrored and turned with the image.
pub(crate) fn normals(source: ArrayView3<f32>, map: &Geometry) -> Array3<f32> {
    let grid = map.grid(1.0);
    per_pixel(map.output, |y, x| {
        let mut sum = [0.0; 3];
        for [x, y] in grid.iter().filter_map(|[u, v]| map.locate(x + u, y + v)) {
            (0..3).for_each(|c| sum[c] += source[[y as usize, x as usize, c]]);
        }
        normalised(turned(sum, map))
    })
}

/// The strongest of some edge labels: 1 beats 0, and either beats 255.
pub(crate) fn strongest(labels: impl Iterator<Item = u8>) -> u8 {
    labels.filter(|&v| v != IGNORE).max().unwrap_or(IGNORE)
}

fn turned([x, y, z]: [f32; 3], map: &Geometry) -> [f32; 3] {
    let [sin, cos] = map.turn.map(|v| v as f32);
    let x = if map.flip { -x } else { x };
    [cos * x - sin * y, sin * x + cos * y, z]
}

/// Value at a position inside the image; half a pixel at the border repeats the border.
fn bilinear(source: &ArrayView3<u8>, x: f64, y: f64) -> [f32; 3] {
    let (height, width, _) = source.dim();
    let [(left, right, dx), (top, bottom, dy)] = [taps(x, width), taps(y, height)];
    [0, 1, 2].map(|c| {
        let at = |y: usize, x: usize| f32::from(source[[y, x, c]]);
        let upper = at(top, left) * (1.0 - dx) + at(top, right) * dx;
        let lower = at(bottom, left) * (1.0 - dx) + at(bottom, right) * dx;
        upper * (1.0 - dy) + lower * dy
    })
}

/// The two pixels beside a position and the share of the second.
fn taps(position: f64, size: usize) -> (usize, usize, f32) {
    let place = (position - 0.5).clamp(0.0, (size - 1) as f64);
    let first = place as usize;
    (first, (first + 1).min(size - 1), (place - first as f64) as f32)
}

fn per_pixel<const C: usize>(
    [height, width]: [usize; 2],
    value: impl Fn(f64, f64) -> [f32; C],
) -> Array3<f32> {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y as f64, x as f64)));
    let values: Vec<f32> = pixels.flat_map(|(y, x)| value(y, x)).collect();
    Array3::from_shape_vec((height, width, C), values).expect("C values for every pixel")
}
