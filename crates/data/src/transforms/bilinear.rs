//! Photographs moved by a geometry: every pixel is read between four of the source.

use ndarray::{Array3, ArrayView3};

use super::geometry::Geometry;
use super::resize::{PIXEL, resized_into};

/// Colours, values 0 to 255, a plane for each channel of a row: `[height, 3, width]`; `fill`
/// outside.
///
/// A source that the result shows smaller is first shrunk to the result's density, so that
/// reading between four pixels is enough to avoid aliasing.
pub(crate) fn image(source: ArrayView3<u8>, map: &Geometry, fill: [u8; 3]) -> Array3<f32> {
    let size = map.density();
    let map = map.with_source(size);
    let source = Source::new(source, size);
    let outside = fill.map(f32::from);
    let [height, width] = map.output;
    let mut values = vec![0.0; height * 3 * width];
    for (y, row) in values.chunks_exact_mut(3 * width).enumerate() {
        let at = map.along(y as f64 + 0.5);
        let (red, rest) = row.split_at_mut(width);
        let (green, blue) = rest.split_at_mut(width);
        let planes = red.iter_mut().zip(green).zip(blue).enumerate();
        for (x, ((red, green), blue)) in planes {
            let found = at(x as f64 + 0.5).map_or(outside, |[x, y]| source.between(x, y));
            [*red, *green, *blue] = found;
        }
    }
    Array3::from_shape_vec((height, 3, width), values).expect("three values for every pixel")
}

/// A photograph of at least 1 x 1 pixels that may be read four bytes at a time.
struct Source {
    size: [usize; 2],
    /// Row by row; a byte follows the last pixel.
    bytes: Vec<u8>,
}

impl Source {
    /// `image` at `size`.
    fn new(image: ArrayView3<u8>, size: [usize; 2]) -> Self {
        let mut bytes = vec![0; size[0] * size[1] * PIXEL + 1];
        let end = bytes.len() - 1;
        resized_into(image, size, &mut bytes[..end]);
        Self { size, bytes }
    }

    /// Value at a position inside the image; half a pixel at the border repeats the border.
    fn between(&self, x: f64, y: f64) -> [f32; 3] {
        let [height, width] = self.size;
        let [(left, right, dx), (top, bottom, dy)] = [taps(x, width), taps(y, height)];
        let at = |y: usize, x: usize| self.pixel(y * width + x);
        let across = |y: usize| mixed(at(y, left), at(y, right), dx);
        let [red, green, blue, _] = mixed(across(top), across(bottom), dy);
        [red, green, blue]
    }

    /// The three colours, and a number that means nothing: four are worked on at once.
    fn pixel(&self, place: usize) -> [f32; 4] {
        let bytes = &self.bytes[PIXEL * place..][..4];
        [bytes[0], bytes[1], bytes[2], bytes[3]].map(f32::from)
    }
}

fn mixed(a: [f32; 4], b: [f32; 4], share: f32) -> [f32; 4] {
    std::array::from_fn(|k| a[k] * (1.0 - share) + b[k] * share)
}

/// The two pixels beside a position and the share of the second.
fn taps(position: f64, size: usize) -> (usize, usize, f32) {
    let place = (position - 0.5).clamp(0.0, (size - 1) as f64);
    // A side has at most as many pixels as 32 bits count.
    let first = place as u32;
    let second = (first as usize + 1).min(size - 1);
    (first as usize, second, (place - f64::from(first)) as f32)
}

#[cfg(test)]
mod tests {
    use super::super::geometry::Draw;
    use super::super::resize::resize_image;
    use super::*;

    /// The same, a pixel and a channel at a time.
    fn plain(source: ArrayView3<u8>, map: &Geometry, fill: [u8; 3]) -> Array3<f32> {
        let size = map.density();
        let map = map.with_source(size);
        let source = resize_image(source, size);
        let taps = |position: f64, size: usize| {
            let place = (position - 0.5).clamp(0.0, (size - 1) as f64);
            let first = place as usize;
            (first, (first + 1).min(size - 1), (place - first as f64) as f32)
        };
        Array3::from_shape_fn((map.output[0], 3, map.output[1]), |(v, c, u)| {
            let Some([x, y]) = map.locate(u as f64 + 0.5, v as f64 + 0.5) else {
                return f32::from(fill[c]);
            };
            let [(left, right, dx), (top, bottom, dy)] = [taps(x, size[1]), taps(y, size[0])];
            let at = |y: usize, x: usize| f32::from(source[[y, x, c]]);
            let upper = at(top, left) * (1.0 - dx) + at(top, right) * dx;
            let lower = at(bottom, left) * (1.0 - dx) + at(bottom, right) * dx;
            upper * (1.0 - dy) + lower * dy
        })
    }

    #[test]
    fn four_numbers_at_once_are_one_after_the_other() {
        let picture = |size: [usize; 2]| {
            Array3::from_shape_fn((size[0], size[1], 3), |(y, x, c)| (y * 31 + x * x * 7 + c) as u8)
        };
        let draws =
            [(0.0, false, 1.0), (20.0, true, 0.75), (-20.0, false, 1.25), (90.0, true, 3.0)];
        for (degrees, flip, scale) in draws {
            for (size, output) in [([37, 53], [24, 31]), ([9, 8], [30, 30]), ([1, 1], [3, 2])] {
                let draw = Draw { flip, scale, degrees, side: 0.9, corner: [0.2, 0.7] };
                let map = Geometry::new(size, output, &draw);
                let picture = picture(size);
                let found = image(picture.view(), &map, [3, 4, 5]);
                assert_eq!(found, plain(picture.view(), &map, [3, 4, 5]));
            }
        }
    }
}
