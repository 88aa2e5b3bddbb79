//! From the bytes of a request to what a network reads, as `polyptych predict` does it for files.

use std::io::Cursor;
use std::path::Path;

use image::ImageReader;
use ndarray::{Array3, ArrayView3, Axis};
use polyptych_data::{decode_image, resize_image};

use crate::model::Input;
use crate::refusal::Refusal;

/// What messages call bytes that came over the network.
const NAME: &str = "photograph";

/// Reads a photograph, `[height, width, 3]`, turned as its orientation mark says.
///
/// # Errors
/// Bytes that are no image, or one of more than `limit` pixels: these are not decoded.
pub(crate) fn decode(bytes: &[u8], limit: usize) -> Result<Array3<u8>, Refusal> {
    if let Some([width, height]) = dimensions(bytes) {
        bounded(width, height, limit)?;
    }
    let pixels = decode_image(bytes, Path::new(NAME));
    let pixels = pixels.map_err(|error| Refusal::CorruptImage(error.to_string()))?;
    let (height, width, _) = pixels.dim();
    bounded(width, height, limit)?;
    Ok(pixels)
}

/// What the header says, where it can be read.
fn dimensions(bytes: &[u8]) -> Option<[usize; 2]> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let (width, height) = reader.into_dimensions().ok()?;
    Some([width as usize, height as usize])
}

/// # Errors
/// More pixels than `limit`.
pub(crate) fn bounded(width: usize, height: usize, limit: usize) -> Result<(), Refusal> {
    match width.saturating_mul(height) > limit {
        true => Err(Refusal::TooManyPixels { width, height, limit }),
        false => Ok(()),
    }
}

/// A photograph as the network reads it: resized, normalised, `[3, height, width]`.
pub(crate) fn prepare(pixels: ArrayView3<u8>, input: &Input) -> Vec<f32> {
    let small = resize_image(pixels, input.size);
    let mut planes = Vec::with_capacity(small.len());
    for channel in 0..3 {
        // There are fewer bytes than pixels.
        let values: [f32; 256] = std::array::from_fn(|byte| {
            (byte as f32 / 255.0 - input.mean[channel]) / input.std[channel]
        });
        let bytes = small.index_axis(Axis(2), channel);
        planes.extend(bytes.iter().map(|&byte| values[usize::from(byte)]));
    }
    planes
}

/// Height and width scaled down, where needed, to sides of at most `max_side`.
pub(crate) fn fitted(height: usize, width: usize, max_side: usize) -> [usize; 2] {
    let longest = height.max(width);
    if longest <= max_side {
        return [height, width];
    }
    [height, width].map(|side| {
        ((side as f64 * max_side as f64 / longest as f64).round() as usize).clamp(1, max_side)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use image::{ImageFormat, RgbImage};

    use super::*;

    pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
        let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn photographs_are_bounded_before_they_are_decoded() {
        let bytes = png(3, 2);
        assert_eq!(decode(&bytes, 6).unwrap().dim(), (2, 3, 3));
        let refusal = decode(&bytes, 5).unwrap_err();
        assert_eq!(refusal, Refusal::TooManyPixels { width: 3, height: 2, limit: 5 });
        // The header alone is enough to refuse it.
        let refusal = decode(&bytes[..60], 5).unwrap_err();
        assert_eq!(refusal, Refusal::TooManyPixels { width: 3, height: 2, limit: 5 });
    }

    #[test]
    fn damaged_photographs_are_named() {
        let refusal = decode(b"no image", 100).unwrap_err();
        assert_eq!(refusal.code(), "corrupt_image");
        assert!(refusal.to_string().starts_with("photograph: not a readable JPEG"), "{refusal}");
        let whole = png(30, 20);
        assert_eq!(decode(&whole[..whole.len() / 2], 1000).unwrap_err().code(), "corrupt_image");
        assert_eq!(decode(b"", 100).unwrap_err().code(), "corrupt_image");
    }

    #[test]
    fn networks_read_normalised_planes() {
        let input = Input { size: [1, 2], mean: [0.5; 3], std: [0.5, 1.0, 0.25] };
        let pixels = Array3::from_shape_vec((1, 2, 3), vec![0, 255, 0, 255, 0, 255]).unwrap();
        assert_eq!(prepare(pixels.view(), &input), [-1.0, 1.0, 0.5, -0.5, -2.0, 2.0]);
    }

    #[test]
    fn large_maps_are_scaled_down() {
        assert_eq!(fitted(20, 30, 30), [20, 30]);
        assert_eq!(fitted(3000, 4000, 1000), [750, 1000]);
        assert_eq!(fitted(1, 5000, 1000), [1, 1000]);
    }
}
