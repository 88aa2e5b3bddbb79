//! Photographs as JPEG.

use std::borrow::Cow;

use ndarray::Array3;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::bounds::{Decoded, affordable, bounded, explained};
use super::orientation::Orientation;
use super::photograph::Photograph;

const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
/// What two decoders would find behind a file that ends too early. No byte is a marker's first.
const TAILS: [[u8; 32]; 2] = [[0x55; 32], [0xa8; 32]];

/// Reads a photograph. Bytes between segments and behind the image are passed over, and the
/// end-of-image marker may be missing, as long as no pixel is.
pub(crate) fn rgb(bytes: &[u8]) -> Decoded<Photograph> {
    let bytes = without_strays(bytes);
    if ends(&bytes) {
        return decoded(&bytes);
    }
    // The decoder fills what is missing with grey even in strict mode if only the last rows are;
    // where every pixel is there, what follows changes none.
    let cut = |_| "no end-of-image marker, the file is cut off".to_owned();
    let whole = bytes.strip_suffix(&END_OF_IMAGE[..1]).unwrap_or(&bytes);
    let behind = |tail: [u8; 32]| decoded(&[whole, &tail[..], &END_OF_IMAGE].concat());
    let first = behind(TAILS[0]).map_err(cut)?;
    let second = behind(TAILS[1]).map_err(cut)?;
    let same = first.pixels == second.pixels;
    same.then_some(first).ok_or_else(|| cut(String::new()))
}

fn decoded(bytes: &[u8]) -> Decoded<Photograph> {
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
    // A bit for each block of 64 pixels is the least that a grey one takes.
    explained(3 * width * height, bytes.len())?;
    // The colours, and 16-bit coefficients of the whole image where it comes in several scans.
    affordable(9 * width * height)?;
    let values = decoder.decode().map_err(|error| error.to_string())?;
    let orientation = Orientation::of_exif(decoder.exif().map(Vec::as_slice));
    let pixels = Array3::from_shape_vec((height, width, 3), values);
    let pixels = pixels.map_err(|_| "not an RGB image".to_owned())?;
    Ok(Photograph { pixels, orientation })
}

/// The segments of a file up to the first scan and all that follows, without bytes in between,
/// which common readers pass over and a strict decoder does not.
fn without_strays(bytes: &[u8]) -> Cow<'_, [u8]> {
    let (mut kept, mut place) = (bytes.get(..2).unwrap_or(bytes).to_vec(), 2);
    while let Some(next) = marker(bytes, place) {
        if bytes[next + 1] == 0xda {
            kept.extend(&bytes[next..]);
            let strays = kept.len() < bytes.len();
            return if strays { Cow::Owned(kept) } else { Cow::Borrowed(bytes) };
        }
        let end = next + 2 + length(bytes, next);
        kept.extend(&bytes[next..end.min(bytes.len())]);
        place = end;
    }
    // Without a scan the decoder says what it thinks of the bytes.
    Cow::Borrowed(bytes)
}

/// Place of the first marker of a segment at or behind `place`.
fn marker(bytes: &[u8], place: usize) -> Option<usize> {
    let found = bytes.get(place..)?.windows(2).position(|pair| {
        // Fill bytes, stuffed bytes and markers without a segment are none.
        pair[0] == 0xff && !matches!(pair[1], 0x00 | 0x01 | 0xd0..=0xd9 | 0xff)
    });
    found.map(|found| place + found)
}

/// Length of the segment whose marker is at `place`.
fn length(bytes: &[u8], place: usize) -> usize {
    bytes
        .get(place + 2..place + 4)
        .map_or(0, |pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])))
}

/// Whether an end-of-image marker follows the start of the first scan.
///
/// Segments before it are skipped by their length, because a preview inside one has markers too;
/// inside a scan the byte pair cannot occur otherwise.
fn ends(bytes: &[u8]) -> bool {
    let mut place = 2;
    while let Some(next) = marker(bytes, place) {
        if bytes[next + 1] == 0xda {
            // From behind, where it stands in a sound file.
            return bytes[next..].windows(2).rev().any(|pair| pair == END_OF_IMAGE);
        }
        place = next + 2 + length(bytes, next);
    }
    false
}
