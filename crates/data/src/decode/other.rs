//! Photographs as WebP, TIFF and BMP.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use ndarray::Array3;

use super::bounds::{Decoded, MAX_BYTES, affordable, bounded, explained};
use super::orientation::Orientation;
use super::photograph::Photograph;
use super::tiff::is_tiff;

/// The format that the first bytes tell, if it is one of these.
pub(crate) fn format(bytes: &[u8]) -> Option<(&'static str, ImageFormat)> {
    if is_tiff(bytes) {
        return Some(("TIFF image", ImageFormat::Tiff));
    }
    match image::guess_format(bytes).ok()? {
        ImageFormat::WebP => Some(("WebP image", ImageFormat::WebP)),
        ImageFormat::Bmp => Some(("BMP image", ImageFormat::Bmp)),
        _ => None,
    }
}

/// What `bytes` are that are no image of a format that is read.
pub(crate) fn unknown(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    match bytes {
        [b'G', b'I', b'F', b'8', ..] => "a GIF, which is not read: save its frames as PNG",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
            "HEIC, AVIF or a video, which are not read: save it as JPEG or PNG"
        }
        _ if text.starts_with(b"version https://git-lfs") => {
            "a pointer of Git LFS instead of the file: `git lfs pull` brings it"
        }
        _ if text.starts_with(b"<") => "markup, such as the error page of a failed download",
        _ => "unknown first bytes",
    }
}

pub(crate) fn rgb(bytes: &[u8], format: ImageFormat) -> Decoded<Photograph> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions();
    let [width, height] = [width, height].map(|side| side as usize);
    bounded(width, height)?;
    let size = usize::try_from(decoder.total_bytes()).map_err(|_| "too large")?;
    // A WebP of one colour takes some bytes, however large it is.
    if format != ImageFormat::WebP {
        explained(size, bytes.len())?;
    }
    affordable(size.saturating_add(3 * width * height))?;
    let orientation = decoder.orientation().map_or(Orientation::UPRIGHT, Orientation::from);
    let image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    let pixels = Array3::from_shape_vec((height, width, 3), image.into_rgb8().into_raw());
    let pixels = pixels.map_err(|_| "not an RGB image".to_owned())?;
    Ok(Photograph { pixels, orientation })
}
