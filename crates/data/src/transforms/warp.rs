//! One pass over the pixels of the result: every map of a sample moves by the same geometry.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, CowArray, Ix3};

use super::edges::landed;
use super::geometry::Geometry;
use super::resize::resize_image;
use super::unit::normalised;

/// Colours, values 0 to 255; `fill` outside.
///
/// A source that the result shows smaller is first shrunk to the result's density, so that
/// reading between four pixels is enough to avoid aliasing.
pub(crate) fn image(source: ArrayView3<u8>, map: &Geometry, fill: [u8; 3]) -> Array3<f32> {
    let size = map.density();
    let map = map.with_source(size);
    let (height, width, _) = source.dim();
    let source: CowArray<u8, Ix3> =
        if size == [height, width] { source.into() } else { resize_image(source, size).into() };
    let outside = fill.map(f32::from);
    per_pixel(map.output, |y, x| {
        map.locate(x + 0.5, y + 0.5).map_or(outside, |[x, y]| bilinear(&source.view(), x, y))
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

/// Boundaries of one annotator.
pub(crate) fn edges(source: ArrayView2<u8>, map: &Geometry, outside: u8) -> Array2<u8> {
    landed(source, nearest(source, map, outside), |y, x| map.land(y, x))
}

/// Unit vectors, averaged over what a pixel covers, mirrored and turned with the image.
pub(crate) fn normals(source: ArrayView3<f32>, map: &Geometry) -> Array3<f32> {
    let grid = map.grid();
    per_pixel(map.output, |y, x| {
        let mut sum = [0.0; 3];
        for [x, y] in grid.iter().filter_map(|[u, v]| map.locate(x + u, y + v)) {
            (0..3).for_each(|c| sum[c] += source[[y as usize, x as usize, c]]);
        }
        normalised(turned(sum, map))
    })
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
    let mut values = vec![0.0; height * width * C];
    for (place, pixel) in values.chunks_exact_mut(C).enumerate() {
        pixel.copy_from_slice(&value((place / width) as f64, (place % width) as f64));
    }
    Array3::from_shape_vec((height, width, C), values).expect("C values for every pixel")
}
