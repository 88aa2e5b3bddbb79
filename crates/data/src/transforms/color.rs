//! Colour changes: brightness, then contrast, then saturation.

use ndarray::{Array3, ArrayViewMut3};
use rand::Rng;
use rand_pcg::Pcg64;

use super::config::ColorJitter;
use super::wide::{byte, wide};

/// The three factors of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Factors {
    pub(crate) brightness: f32,
    pub(crate) contrast: f32,
    pub(crate) saturation: f32,
}

impl Factors {
    pub(crate) fn new(jitter: &ColorJitter, rng: &mut Pcg64) -> Self {
        let mut factor = |strength: f32| 1.0 + strength * (2.0 * rng.random::<f32>() - 1.0);
        Self {
            brightness: factor(jitter.brightness),
            contrast: factor(jitter.contrast),
            saturation: factor(jitter.saturation),
        }
    }

    /// Changes an image of values 0 to 255, `[height, 3, width]`, and rounds it:
    /// `[height, width, 3]`.
    pub(crate) fn apply(self, mut image: ArrayViewMut3<f32>) -> Array3<u8> {
        let (height, _, width) = image.dim();
        let mut result = vec![0; height * width * 3];
        let rows = image.as_slice_mut().expect("rows lie one after the other");
        wide(
            #[inline(always)]
            || self.apply_rows(rows, width, &mut result),
        );
        Array3::from_shape_vec((height, width, 3), result).expect("three values for every pixel")
    }

    #[inline(always)]
    fn apply_rows(self, rows: &mut [f32], width: usize, result: &mut [u8]) {
        rows.iter_mut().for_each(|v| *v *= self.brightness);
        let middle = if self.contrast == 1.0 { 0.0 } else { mean_grey(rows, width) };
        let mut bytes = vec![0; 3 * width];
        for (row, result) in
            rows.chunks_exact_mut(3 * width).zip(result.chunks_exact_mut(3 * width))
        {
            if self.contrast != 1.0 {
                row.iter_mut().for_each(|v| *v = middle + (*v - middle) * self.contrast);
            }
            if self.saturation != 1.0 {
                saturate(row, self.saturation);
            }
            // Two loops, so that the first works on many numbers at once.
            bytes.iter_mut().zip(row).for_each(|(to, v)| *to = byte(*v));
            interleave(&bytes, result);
        }
    }
}

/// The planes of a row of pixels.
#[inline(always)]
fn planes<T>(row: &[T]) -> [&[T]; 3] {
    let (red, rest) = row.split_at(row.len() / 3);
    let (green, blue) = rest.split_at(rest.len() / 2);
    [red, green, blue]
}

/// Luma of ITU-R BT.601.
#[inline(always)]
fn grey([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

#[inline(always)]
fn mean_grey(rows: &[f32], width: usize) -> f32 {
    let mut sum = 0.0;
    let pixels = rows.len() / 3;
    for row in rows.chunks_exact(3 * width) {
        let [red, green, blue] = planes(row);
        for ((&red, &green), &blue) in red.iter().zip(green).zip(blue) {
            sum += f64::from(grey([red, green, blue]));
        }
    }
    (sum / pixels as f64) as f32
}

#[inline(always)]
fn saturate(row: &mut [f32], factor: f32) {
    let (red, rest) = row.split_at_mut(row.len() / 3);
    let (green, blue) = rest.split_at_mut(rest.len() / 2);
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let own = grey([*red, *green, *blue]);
        [red, green, blue].into_iter().for_each(|v| *v = own + (*v - own) * factor);
    }
}

/// From the planes of a row to its pixels.
#[inline(always)]
fn interleave(row: &[u8], result: &mut [u8]) {
    let [red, green, blue] = planes(row);
    let values = red.iter().zip(green).zip(blue);
    for (pixel, ((&red, &green), &blue)) in result.chunks_exact_mut(3).zip(values) {
        pixel.copy_from_slice(&[red, green, blue]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Factors = Factors { brightness: 1.0, contrast: 1.0, saturation: 1.0 };

    fn picture() -> Array3<f32> {
        Array3::from_shape_fn((4, 3, 5), |(y, c, x)| (y * 50 + x * 10 + c * 5) as f32)
    }

    /// The same, a pixel at a time, with the library's rounding.
    fn plain(factors: Factors, image: &Array3<f32>) -> Array3<u8> {
        let image = image.mapv(|v| v * factors.brightness).permuted_axes([0, 2, 1]);
        let mut image = image.as_standard_layout().into_owned();
        let own = |pixel: ndarray::ArrayView1<f32>| grey([pixel[0], pixel[1], pixel[2]]);
        let sum: f64 = image.rows().into_iter().map(|pixel| f64::from(own(pixel))).sum();
        let middle = (sum / (image.len() / 3) as f64) as f32;
        if factors.contrast != 1.0 {
            image.mapv_inplace(|v| middle + (v - middle) * factors.contrast);
        }
        if factors.saturation != 1.0 {
            for mut pixel in image.rows_mut() {
                let own = own(pixel.view());
                pixel.mapv_inplace(|v| own + (v - own) * factors.saturation);
            }
        }
        image.mapv(|v| v.round().clamp(0.0, 255.0) as u8)
    }

    #[test]
    fn whole_rows_are_one_pixel_after_the_other() {
        let picture = Array3::from_shape_fn((19, 3, 23), |(y, c, x)| {
            (y * 701 + c * 97 + x * x * 31) as f32 / 61.0 % 255.0
        });
        let factors =
            |brightness, contrast, saturation| Factors { brightness, contrast, saturation };
        for factors in
            [NONE, factors(1.3, 1.0, 0.7), factors(0.7, 1.3, 1.0), factors(1.2, 0.8, 1.3)]
        {
            assert_eq!(factors.apply(picture.clone().view_mut()), plain(factors, &picture));
        }
    }

    #[test]
    fn neutral_factors_change_nothing() {
        let same = picture().permuted_axes([0, 2, 1]);
        assert_eq!(NONE.apply(picture().view_mut()).mapv(f32::from), same);
    }

    #[test]
    fn brightness_multiplies_and_clamps() {
        let result = Factors { brightness: 1.5, ..NONE }.apply(picture().view_mut());
        assert_eq!(result[[1, 0, 0]], 75);
        assert_eq!(result[[3, 4, 2]], 255);
    }

    #[test]
    fn no_contrast_leaves_the_mean_and_no_saturation_leaves_grey() {
        let flat = Factors { contrast: 0.0, ..NONE }.apply(picture().view_mut());
        assert!(flat.iter().all(|&v| v == flat[[0, 0, 0]]));
        let grey = Factors { saturation: 0.0, ..NONE }.apply(picture().view_mut());
        assert!(grey.rows().into_iter().all(|p| p[0] == p[1] && p[1] == p[2]));
    }
}
