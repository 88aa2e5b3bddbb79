//! Resize without augmentation: what evaluation and prediction see.

use std::cell::RefCell;
use std::ops::Range;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use ndarray::{Array2, Array3, ArrayView2, ArrayView3};

use super::edges::landed;
use super::unit::normalised;

/// Bytes of a pixel.
pub(crate) const PIXEL: usize = 3;

thread_local! {
    /// Keeps its buffers from one photograph to the next: its own, and what lies between the axes.
    static RESIZER: RefCell<(Resizer, Vec<u8>)> = RefCell::new((Resizer::new(), Vec::new()));
}

/// Resizes a photograph to `[height, width]` by Catmull-Rom convolution (antialiased when it
/// shrinks), first across, then down, rounded and clipped to bytes after each. Pillow's `BICUBIC` is
/// the same with weights of 22 bits; these have 16, and one value in a hundred differs by one. The
/// aspect ratio is not kept. The Python module does the same arithmetic.
///
/// # Panics
/// If a side of the image or of the target is zero.
pub fn resize_image(image: ArrayView3<u8>, [height, width]: [usize; 2]) -> Array3<u8> {
    let mut result = vec![0; height * width * PIXEL];
    resized_into(image, [height, width], &mut result);
    Array3::from_shape_vec((height, width, PIXEL), result).expect("three bytes for every pixel")
}

/// [`resize_image`] into `result`, which has three bytes for every pixel.
pub(crate) fn resized_into(image: ArrayView3<u8>, [height, width]: [usize; 2], result: &mut [u8]) {
    let (source_height, source_width, _) = image.dim();
    let image = image.as_standard_layout();
    let bytes = image.as_slice().expect("standard layout is contiguous");
    if (source_height, source_width) == (height, width) {
        result.copy_from_slice(bytes);
        return;
    }
    RESIZER.with_borrow_mut(|(resizer, between)| {
        let ([from, across], to) = ([source_height, source_width], [height, width]);
        if from == height || across == width {
            return convolved(resizer, bytes, [from, across], result, to);
        }
        between.resize(from * width * PIXEL, 0);
        convolved(resizer, bytes, [from, across], between, [from, width]);
        convolved(resizer, between, [from, width], result, to);
    });
}

fn convolved(
    resizer: &mut Resizer,
    source: &[u8],
    [source_height, source_width]: [usize; 2],
    result: &mut [u8],
    [height, width]: [usize; 2],
) {
    let source =
        TypedImageRef::<U8x3>::from_buffer(source_width as u32, source_height as u32, source);
    let source = source.expect("three bytes for every pixel");
    let target = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, result);
    let mut target = target.expect("three bytes for every pixel");
    let filter = ResizeAlg::Convolution(FilterType::CatmullRom);
    let options = ResizeOptions::new().resize_alg(filter).use_alpha(false);
    resizer.resize_typed(&source, &mut target, &options).expect("no crop box to be wrong");
}

/// The value under the centre of each pixel of the result.
pub(crate) fn nearest<T: Copy>(map: ArrayView2<T>, [height, width]: [usize; 2]) -> Array2<T> {
    let (source_height, source_width) = map.dim();
    Array2::from_shape_fn((height, width), |(y, x)| {
        map[[centre(y, source_height, height), centre(x, source_width, width)]]
    })
}

/// Boundaries of one annotator.
pub(crate) fn edges(map: ArrayView2<u8>, size: [usize; 2]) -> Array2<u8> {
    let (height, width) = map.dim();
    landed(map, nearest(map, size), |y, x| {
        Some((centre(y, size[0], height), centre(x, size[1], width)))
    })
}

/// Mean direction of the pixels that the result's pixel stands for.
pub(crate) fn normals(map: ArrayView3<f32>, size: [usize; 2]) -> Array3<f32> {
    let (rows, columns) = boxes((map.dim().0, map.dim().1), size);
    let mut result = Array3::zeros((size[0], size[1], 3));
    for (y, row) in rows.iter().enumerate() {
        for (x, column) in columns.iter().enumerate() {
            let mut sum = [0.0; 3];
            for place in row.clone().flat_map(|r| column.clone().map(move |c| (r, c))) {
                (0..3).for_each(|c| sum[c] += map[[place.0, place.1, c]]);
            }
            let mean = normalised(sum);
            (0..3).for_each(|c| result[[y, x, c]] = mean[c]);
        }
    }
    result
}

/// Pixels of the source that each row and column of the result stands for. When an axis shrinks,
/// each source pixel belongs to exactly one; when it grows, the nearest is repeated.
fn boxes(
    (height, width): (usize, usize),
    size: [usize; 2],
) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let axis = |from: usize, to: usize| (0..to).map(|k| covered(k, from, to)).collect();
    (axis(height, size[0]), axis(width, size[1]))
}

fn covered(index: usize, from: usize, to: usize) -> Range<usize> {
    // A source pixel belongs where its centre falls: floor((2 s + 1) to / (2 from)) = index.
    let first = |index: usize| (2 * index * from).saturating_sub(to).div_ceil(2 * to);
    if to < from {
        first(index)..first(index + 1)
    } else {
        let nearest = centre(index, from, to);
        nearest..nearest + 1
    }
}

/// Pixel of an axis of length `from` under the centre of a pixel of one of length `to`.
fn centre(index: usize, from: usize, to: usize) -> usize {
    (2 * index + 1) * from / (2 * to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_assigns_every_source_pixel_once() {
        for (from, to) in [(10, 3), (481, 128), (7, 6), (5, 1), (224, 112)] {
            let all: Vec<usize> = (0..to).flat_map(|k| covered(k, from, to)).collect();
            assert_eq!(all, (0..from).collect::<Vec<_>>(), "{from} to {to}");
        }
    }

    #[test]
    fn thin_boundaries_survive_shrinking() {
        let map = Array2::from_shape_fn((64, 64), |(y, x)| u8::from(y == 33 || x == 10));
        let small = edges(map.view(), [8, 8]);
        assert!((0..8).all(|k| small[[4, k]] == 1 && small[[k, 1]] == 1));
        assert_eq!(small.iter().map(|&v| usize::from(v)).sum::<usize>(), 15);
    }

    #[test]
    fn colours_keep_their_mean_and_size_changes() {
        let image = Array3::from_shape_fn((9, 6, 3), |(_, _, c)| 40 * (c as u8 + 1));
        let result = resize_image(image.view(), [5, 12]);
        assert_eq!(result.dim(), (5, 12, 3));
        assert!(result.indexed_iter().all(|((_, _, c), &v)| v == 40 * (c as u8 + 1)));
    }

    #[test]
    fn normals_are_averaged_and_ignore_the_unlabelled() {
        let mut map = Array3::zeros((2, 2, 3));
        map[[0, 0, 0]] = 1.0_f32;
        map[[1, 1, 2]] = 1.0;
        let mean = normals(map.view(), [1, 1]);
        let half = 0.5_f32.sqrt();
        assert!((mean[[0, 0, 0]] - half).abs() < 1e-6 && (mean[[0, 0, 2]] - half).abs() < 1e-6);
        assert_eq!(
            normals(Array3::zeros((2, 2, 3)).view(), [1, 1]),
            Array3::<f32>::zeros((1, 1, 3))
        );
    }

    #[test]
    fn classes_come_from_the_nearest_centre() {
        let map = Array2::from_shape_fn((3, 3), |(y, x)| (3 * y + x) as u8);
        assert_eq!(nearest(map.view(), [1, 1])[[0, 0]], 4);
        assert_eq!(nearest(map.view(), [6, 6])[[5, 0]], 6);
    }
}
