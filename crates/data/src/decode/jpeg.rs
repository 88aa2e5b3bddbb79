//! Photographs as JPEG.

use ndarray::Array3;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{Decoded, affordable, bounded};

pub(crate) fn rgb(bytes: &[u8]) -> Decoded<Array3<u8>> {
    // The decoder fills what is missing with grey even in strict mode if only the last rows are.
    if !is_complete(bytes) {
        return Err("no end-of-image marker, the file is cut off".to_owned());
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| error.to_string())?;
    let info = decoder.info().ok_or("no header")?;
    let [width, height] = [info.width, info.height].map(usize::from);
    bounded(width, height)?;
    // The colours, and 16-bit coefficients of the whole image where it comes in several scans.
    affordable(9 * width * height)?;
    let values = decoder.decode().map_err(|error| error.to_string())?;
    let shape = (height, width, 3);
    Array3::from_shape_vec(shape, values).map_err(|_| "not an RGB image".to_owned())
}

/// Whether an end-of-image marker follows the start of the first scan.
///
/// Segments before it are skipped by their length, because a preview inside one has markers too;
/// inside a scan the byte pair cannot occur otherwise.
fn is_complete(bytes: &[u8]) -> bool {
    let mut place = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(place..place + 4) {
        // From behind, where it stands in a sound file.
        let rest = || bytes[place..].windows(2).rev().any(|pair| pair == [0xff, 0xd9]);
        match marker {
            0xda => return rest(),
            0xff => place += 1,
            _ => place += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    // Bytes between segments: the decoder says what it thinks of them.
    bytes.get(place).is_some_and(|&byte| byte != 0xff)
}
