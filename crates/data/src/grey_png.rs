//! Index maps as image files.

use ndarray::Array2;

/// `map`, `[height, width]`, as a grey PNG of 8 bits.
///
/// # Errors
/// A map without pixels, or one that is too large for the format.
pub(crate) fn grey_png(map: &Array2<u8>) -> Result<Vec<u8>, String> {
    let (height, width) = map.dim();
    let side = |extent: usize| u32::try_from(extent).map_err(|error| error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let pixels: Vec<u8> = map.iter().copied().collect();
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes)
}
