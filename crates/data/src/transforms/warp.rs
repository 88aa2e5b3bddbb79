//! Boundaries and normals moved by a geometry.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use super::edges::landed;
use super::geometry::Geometry;
use super::lookup::Lookup;
use super::unit::normalised;

/// Boundaries of one annotator.
pub(crate) fn edges(
    source: ArrayView2<u8>,
    map: &Geometry,
    lookup: &Lookup,
    outside: u8,
) -> Array2<u8> {
    landed(source, lookup.nearest(source, outside), |y, x| map.land(y, x))
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
