//! Photographs moved by a geometry: every pixel is read between four of the source.

use std::cell::RefCell;

use ndarray::{ArrayView3, ArrayViewMut3};

use super::geometry::Geometry;
use super::resize::{PIXEL, resized_into};
use super::wide::{floor, index, wide};

thread_local! {
    /// Kept from one photograph to the next: fresh memory costs as much as filling it.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

#[derive(Default)]
struct Buffers {
    source: Source,
    taps: Taps,
    row: Vec<Pixel>,
    result: Vec<f32>,
}

/// What `then` makes of the moved photograph: colours, values 0 to 255, a plane for each channel of
/// a row, `[height, 3, width]`; `fill` outside.
///
/// A source that the result shows smaller is first shrunk to the result's density, so that
/// reading between four pixels is enough to avoid aliasing.
pub(crate) fn image<R>(
    source: ArrayView3<u8>,
    map: &Geometry,
    fill: [u8; 3],
    then: impl FnOnce(ArrayViewMut3<f32>) -> R,
) -> R {
    BUFFERS.with_borrow_mut(|buffers| {
        let [height, width] = map.output;
        buffers.fill(source, map, fill);
        let result = ArrayViewMut3::from_shape((height, 3, width), &mut buffers.result);
        then(result.expect("three values for every pixel"))
    })
}

impl Buffers {
    fn fill(&mut self, source: ArrayView3<u8>, map: &Geometry, fill: [u8; 3]) {
        let Self { source: pixels, taps, row, result } = self;
        let size = map.density();
        let map = map.with_source(size);
        pixels.load(source, size);
        let outside = [fill[0], fill[1], fill[2], 0].map(f32::from);
        let [height, width] = map.output;
        result.resize(height * 3 * width, 0.0);
        row.resize(width, outside);
        taps.resize(width);
        wide(
            #[inline(always)]
            || {
                for (y, planes) in result.chunks_exact_mut(3 * width).enumerate() {
                    taps.place(map.along(y as f64 + 0.5), size);
                    for (pixel, (first, shares)) in row.iter_mut().zip(taps.iter()) {
                        *pixel = pixels.between(first, shares).unwrap_or(outside);
                    }
                    unzip(row, planes);
                }
            },
        );
    }
}

/// From the pixels of a row to its planes: a loop of its own, because above all four numbers of a
/// pixel move at once.
#[inline(always)]
fn unzip(row: &[Pixel], planes: &mut [f32]) {
    let (red, rest) = planes.split_at_mut(row.len());
    let (green, blue) = rest.split_at_mut(row.len());
    let planes = red.iter_mut().zip(green).zip(blue);
    for (pixel, ((red, green), blue)) in row.iter().zip(planes) {
        [*red, *green, *blue] = [pixel[0], pixel[1], pixel[2]];
    }
}

/// Three colours and a 0: processors work on four numbers at once.
type Pixel = [f32; 4];

/// Between which pixels of the source those of a row of the result lie.
#[derive(Default)]
struct Taps {
    /// Place of the upper left of the four pixels; none outside of the source.
    first: Vec<u32>,
    /// Share of the right ones.
    right: Vec<f32>,
    /// Share of the lower ones.
    lower: Vec<f32>,
}

impl Taps {
    fn resize(&mut self, width: usize) {
        self.first.resize(width, 0);
        self.right.resize(width, 0.0);
        self.lower.resize(width, 0.0);
    }

    /// Positions from `at`; half a pixel at the border of a source of `size` repeats the border.
    #[inline(always)]
    fn place(&mut self, at: impl Fn(f64) -> ([f64; 2], bool), size: [usize; 2]) {
        let [bottom, right] = size.map(|side| (side - 1) as f64);
        let columns = size[1] as f64;
        let taps = self.first.iter_mut().zip(&mut self.right).zip(&mut self.lower);
        for (x, ((first, dx), dy)) in taps.enumerate() {
            let ([x, y], inside) = at(x as f64 + 0.5);
            let [x, y] = [(x - 0.5).clamp(0.0, right), (y - 0.5).clamp(0.0, bottom)];
            let [left, top] = [floor(x), floor(y)];
            let place = index(top * columns + left);
            *first = if inside { place } else { u32::MAX };
            [*dx, *dy] = [(x - left) as f32, (y - top) as f32];
        }
    }

    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = (u32, [f32; 2])> {
        let shares = self.right.iter().zip(&self.lower).map(|(&right, &lower)| [right, lower]);
        self.first.iter().copied().zip(shares)
    }
}

/// A photograph in wide form.
#[derive(Default)]
struct Source {
    columns: usize,
    bytes: Vec<u8>,
    /// Row by row; behind the last are a row and a pixel more, so that every pixel has neighbours.
    pixels: Vec<Pixel>,
}

impl Source {
    /// `image` at `size`.
    fn load(&mut self, image: ArrayView3<u8>, size: [usize; 2]) {
        self.columns = size[1];
        self.bytes.resize(size[0] * size[1] * PIXEL, 0);
        resized_into(image, size, &mut self.bytes);
        let pixels = self.bytes.chunks_exact(PIXEL);
        self.pixels.clear();
        self.pixels.extend(pixels.map(|p| [p[0], p[1], p[2], 0].map(f32::from)));
        self.pixels.extend(std::iter::repeat_n([0.0; 4], size[1] + 1));
    }

    /// The colour right of and below the pixel `first`, by the shares of its neighbours; none
    /// outside of the source. A neighbour outside of the border has weight 0.
    #[inline(always)]
    fn between(&self, first: u32, [right, lower]: [f32; 2]) -> Option<Pixel> {
        let pair = |place: usize| self.pixels.get(place..place + 2);
        let first = first as usize;
        let (above, below) = (pair(first)?, pair(first + self.columns)?);
        let across = |pair: &[Pixel]| mixed(pair[0], pair[1], right);
        Some(mixed(across(above), across(below), lower))
    }
}

#[inline(always)]
fn mixed(a: Pixel, b: Pixel, share: f32) -> Pixel {
    std::array::from_fn(|k| a[k] * (1.0 - share) + b[k] * share)
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

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
                let found = image(picture.view(), &map, [3, 4, 5], |moved| moved.to_owned());
                assert_eq!(found, plain(picture.view(), &map, [3, 4, 5]));
            }
        }
    }
}
