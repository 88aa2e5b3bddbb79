//! Colour changes: brightness, then contrast, then saturation.

use ndarray::Array3;
use rand::Rng;
use rand_pcg::Pcg64;

use super::config::ColorJitter;

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

    /// Changes an image of values 0 to 255, `[height, width, 3]`, and rounds it.
    pub(crate) fn apply(self, mut image: Array3<f32>) -> Array3<u8> {
        image.mapv_inplace(|v| v * self.brightness);
        if self.contrast != 1.0 {
            let middle = mean_grey(&image);
            image.mapv_inplace(|v| middle + (v - middle) * self.contrast);
        }
        if self.saturation != 1.0 {
            for mut pixel in image.rows_mut() {
                let own = grey(&pixel.view());
                pixel.mapv_inplace(|v| own + (v - own) * self.saturation);
            }
        }
        // Rounded and clamped: a cast alone would wrap or cut.
        image.mapv(|v| v.round().clamp(0.0, 255.0) as u8)
    }
}

/// Luma of ITU-R BT.601.
fn grey(pixel: &ndarray::ArrayView1<f32>) -> f32 {
    0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
}

fn mean_grey(image: &Array3<f32>) -> f32 {
    let pixels = image.len() / 3;
    let sum: f64 = image.rows().into_iter().map(|pixel| f64::from(grey(&pixel))).sum();
    (sum / pixels as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Factors = Factors { brightness: 1.0, contrast: 1.0, saturation: 1.0 };

    fn picture() -> Array3<f32> {
        Array3::from_shape_fn((4, 5, 3), |(y, x, c)| (y * 50 + x * 10 + c * 5) as f32)
    }

    #[test]
    fn neutral_factors_change_nothing() {
        assert_eq!(NONE.apply(picture()).mapv(f32::from), picture());
    }

    #[test]
    fn brightness_multiplies_and_clamps() {
        let result = Factors { brightness: 1.5, ..NONE }.apply(picture());
        assert_eq!(result[[1, 0, 0]], 75);
        assert_eq!(result[[3, 4, 2]], 255);
    }

    #[test]
    fn no_contrast_leaves_the_mean_and_no_saturation_leaves_grey() {
        let flat = Factors { contrast: 0.0, ..NONE }.apply(picture());
        assert!(flat.iter().all(|&v| v == flat[[0, 0, 0]]));
        let grey = Factors { saturation: 0.0, ..NONE }.apply(picture());
        assert!(grey.rows().into_iter().all(|p| p[0] == p[1] && p[1] == p[2]));
    }
}
