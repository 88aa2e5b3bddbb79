//! TIFF with numbers as stored: up to 8, 16 and 32 bits, whole or floating.

use std::borrow::Cow;
use std::io::Cursor;

use ndarray::{ArrayD, IxDyn};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{PlanarConfiguration, Tag};

use super::bits::unpacked;
use super::bounds::{Decoded, MAX_BYTES, MOST_NUMBERS, affordable, bounded, explained};

/// How a file says what its numbers are colours of: white is 0, black is 0, places of a palette.
const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u16 = 1;
const PALETTE: u64 = 3;

/// Whether a file begins as a TIFF does, or as one of more than 4 GiB may (BigTIFF).
pub(crate) fn is_tiff(bytes: &[u8]) -> bool {
    matches!(bytes, [b'I', b'I', b'*' | b'+', 0, ..] | [b'M', b'M', 0, b'*' | b'+', ..])
}

/// Reads `[height, width]`, or `[height, width, channels]` where there are several.
pub(crate) fn array(bytes: &[u8]) -> Decoded<ArrayD<f64>> {
    let bytes = as_stored(bytes)?;
    let wrong = |error: tiff::TiffError| error.to_string();
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_BYTES as usize;
    limits.intermediate_buffer_size = MAX_BYTES as usize;
    let mut decoder = Decoder::new(Cursor::new(&*bytes)).map_err(wrong)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(wrong)?;
    let [width, height] = [width, height].map(|side| side as usize);
    bounded(width, height)?;
    let kind = decoder.colortype().map_err(wrong)?;
    let (channels, bits) = (usize::from(kind.num_samples()), usize::from(kind.bit_depth()));
    let planes = decoder.find_tag_unsigned(Tag::PlanarConfiguration).map_err(wrong)?;
    if channels > 1 && planes == Some(PlanarConfiguration::Planar.to_u16()) {
        let reason = "each in a plane of its own (planar), expected them pixel by pixel, as \
                      gdal_translate -co INTERLEAVE=PIXEL writes them";
        return Err(format!("{channels} bands, {reason}"));
    }
    let count = width.saturating_mul(height).saturating_mul(channels);
    if count > MOST_NUMBERS {
        let found = format!("{width} x {height} pixels of {channels} bands");
        return Err(format!("{found}, expected at most {MOST_NUMBERS} numbers"));
    }
    explained(count * bits / 8, bytes.len())?;
    // The numbers as stored, and each as one of eight bytes.
    affordable(16 * count)?;
    let row = width * channels;
    let values = match decoder.read_image().map_err(wrong)? {
        DecodingResult::U8(packed) if matches!(bits, 1 | 2 | 4) => {
            unpacked(&packed, (row * bits).div_ceil(8), row, bits).map(f64::from).collect()
        }
        image => numbers(image),
    };
    let shape: &[usize] = if channels == 1 { &[height, width] } else { &[height, width, channels] };
    let found = values.len();
    ArrayD::from_shape_vec(IxDyn(shape), values)
        .map_err(|_| format!("{found} numbers, expected {height} x {width} x {channels}"))
}

/// The file with its numbers called shades of grey, since the decoder turns those around that are
/// zero for white, and refuses those of a palette: labels are the numbers themselves.
fn as_stored(bytes: &[u8]) -> Decoded<Cow<'_, [u8]>> {
    let Some(place) = photometric(bytes) else { return Ok(Cow::Borrowed(bytes)) };
    affordable(bytes.len())?;
    let mut bytes = bytes.to_vec();
    let grey =
        if bytes[0] == b'M' { BLACK_IS_ZERO.to_be_bytes() } else { BLACK_IS_ZERO.to_le_bytes() };
    bytes[place..place + grey.len()].copy_from_slice(&grey);
    Ok(Cow::Owned(bytes))
}

/// Where the first image says that its numbers are zero for white, or places of a palette.
fn photometric(bytes: &[u8]) -> Option<usize> {
    let number = |place: usize, size: usize| -> Option<u64> {
        let part = bytes.get(place..place.checked_add(size)?)?;
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let little = bytes[0] == b'I';
        Some(if little { part.iter().rev().fold(0, join) } else { part.iter().fold(0, join) })
    };
    // The bytes of a place and of a count, those of an entry, and where its value stands.
    let (place, counts, entry, value) = match is_tiff(bytes) && number(2, 2)? == 43 {
        true => (number(8, 8)?, 8, 20, 12),
        false => (number(4, 4)?, 2, 12, 8),
    };
    let place = usize::try_from(place).ok()?;
    let entries = (0..number(place, counts)?).map_while(|k| {
        let entry = usize::try_from(k).ok()?.checked_mul(entry)?;
        let entry = place.checked_add(counts)?.checked_add(entry)?;
        Some((number(entry, 2)?, entry.checked_add(value)?))
    });
    let tag = u64::from(Tag::PhotometricInterpretation.to_u16());
    let mut found = entries.filter(|(own, _)| *own == tag).map(|(_, place)| place);
    found.next().filter(|&place| matches!(number(place, 2), Some(WHITE_IS_ZERO | PALETTE)))
}

fn numbers(image: DecodingResult) -> Vec<f64> {
    fn all<T: Into<f64>>(values: Vec<T>) -> Vec<f64> {
        values.into_iter().map(Into::into).collect()
    }
    match image {
        DecodingResult::U8(values) => all(values),
        DecodingResult::U16(values) => all(values),
        DecodingResult::U32(values) => all(values),
        DecodingResult::U64(values) => values.into_iter().map(|value| value as f64).collect(),
        DecodingResult::F16(values) => all(values),
        DecodingResult::F32(values) => all(values),
        DecodingResult::F64(values) => values,
        DecodingResult::I8(values) => all(values),
        DecodingResult::I16(values) => all(values),
        DecodingResult::I32(values) => all(values),
        DecodingResult::I64(values) => values.into_iter().map(|value| value as f64).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tiff::encoder::{TiffEncoder, colortype};

    use super::array;

    fn file(write: impl FnOnce(&mut TiffEncoder<Cursor<&mut Vec<u8>>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut TiffEncoder::new(Cursor::new(&mut bytes)).unwrap());
        bytes
    }

    /// One column of two pixels of three bands, each in a plane of its own.
    fn planar() -> Vec<u8> {
        let planes = [[1_u8, 2], [3, 4], [5, 6], [0, 0]].concat();
        let depths: Vec<u8> = [8_u16; 4].iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let starts: Vec<u8> = [8_u32, 10, 12].iter().flat_map(|at| at.to_le_bytes()).collect();
        let lengths: Vec<u8> = [2_u32; 3].iter().flat_map(|length| length.to_le_bytes()).collect();
        // Tag, type (3 is of two bytes, 4 of four), how many, and the value or where it stands.
        let tags: [(u16, u16, u32, u32); 10] = [
            (256, 3, 1, 1),
            (257, 3, 1, 2),
            (258, 3, 3, 16),
            (259, 3, 1, 1),
            (262, 3, 1, 2),
            (273, 4, 3, 24),
            (277, 3, 1, 3),
            (278, 3, 1, 2),
            (279, 4, 3, 36),
            (284, 3, 1, 2),
        ];
        let mut bytes = [b"II*\0".as_slice(), &48_u32.to_le_bytes()].concat();
        bytes.extend([planes, depths, starts, lengths].concat());
        bytes.extend(10_u16.to_le_bytes());
        for (tag, kind, count, value) in tags {
            bytes.extend([tag, kind].map(u16::to_le_bytes).concat());
            bytes.extend([count, value].map(u32::to_le_bytes).concat());
        }
        bytes.extend([0; 4]);
        bytes
    }

    /// Written by tifffile and Pillow (`tests/tiff/generate.py`).
    #[test]
    fn numbers_are_no_colours_whatever_the_file_says_of_white_and_palettes() {
        let read = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiff/");
            array(&std::fs::read(format!("{folder}{name}")).unwrap()).unwrap()
        };
        let expected = |number: fn(f64) -> f64| {
            ndarray::Array2::from_shape_fn((3, 5), |(y, x)| number((5 * y + x) as f64)).into_dyn()
        };
        for name in ["white.tif", "big.tif", "big-white.tif", "palette.tif"] {
            assert_eq!(read(name), expected(|class| class), "{name}");
        }
        assert_eq!(read("white-metres.tif"), expected(|class| class / 2.0));
        for name in ["bits.tif", "bits-fax.tif"] {
            assert_eq!(read(name), expected(|class| class % 2.0), "{name}");
        }
    }

    #[test]
    fn bands_in_planes_are_named() {
        assert_eq!(
            array(&planar()).unwrap_err(),
            "3 bands, each in a plane of its own (planar), expected them pixel by pixel, as \
             gdal_translate -co INTERLEAVE=PIXEL writes them"
        );
    }

    /// The tags of width and height say more than the file holds.
    #[test]
    fn sizes_that_the_file_cannot_hold_are_refused() {
        let message = |side: u32| {
            let mut bytes = planar();
            let tags = 48 + 2;
            // Width, height, where the one strip stands, its rows and its bytes; pixel by pixel.
            for (tag, value) in [(0, side), (1, side), (5, 8), (7, side), (8, 6), (9, 1)] {
                let place = tags + 12 * tag;
                bytes[place + 2] = if tag == 9 { 3 } else { 4 };
                bytes[place + 4..place + 8].copy_from_slice(&1_u32.to_le_bytes());
                bytes[place + 8..place + 12].copy_from_slice(&value.to_le_bytes());
            }
            array(&bytes).unwrap_err()
        };
        let found = message(9000);
        assert_eq!(found, "9000 x 9000 pixels of 3 bands, expected at most 134217728 numbers");
        let found = message(6000);
        assert!(found.starts_with("108000000 bytes from 174, expected at most"), "{found}");
    }

    #[test]
    fn numbers_are_those_that_are_stored() {
        let metres = [0.5_f32, 1.25, 80.0, f32::NAN];
        let bytes = file(|f| f.write_image::<colortype::Gray32Float>(2, 2, &metres).unwrap());
        let found = array(&bytes).unwrap();
        assert_eq!(found.shape(), [2, 2]);
        assert_eq!((found[[0, 1]], found[[1, 0]]), (1.25, 80.0));
        assert!(found[[1, 1]].is_nan());
        let words = [0_u16, 256, 65535, 7, 8, 9];
        let bytes = file(|f| f.write_image::<colortype::Gray16>(3, 2, &words).unwrap());
        assert!(array(&bytes).unwrap().iter().zip(words).all(|(&a, b)| a == f64::from(b)));
        let classes = [0_u8, 1, 255, 2, 3, 4];
        let bytes = file(|f| f.write_image::<colortype::RGB8>(1, 2, &classes).unwrap());
        assert_eq!(array(&bytes).unwrap().shape(), [2, 1, 3]);
        for length in 0..bytes.len() {
            let _ = array(&bytes[..length]);
        }
        assert!(array(&bytes[..8]).is_err());
    }
}
