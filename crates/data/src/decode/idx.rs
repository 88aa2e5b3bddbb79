//! The idx files of MNIST and its relatives, plain or packed by gzip
//! (<https://yann.lecun.org/exdb/mnist/index.html>): two zero bytes, the type of the numbers, how
//! many dimensions there are, one size of four bytes for each, highest byte first, then the numbers.

use std::io::{Cursor, Read};

use flate2::read::MultiGzDecoder;
use ndarray::Array3;

use super::bounds::{Decoded, MAX_BYTES, bounded};

/// Type of numbers of one byte from 0 to 255, the only one that images and classes use.
const UNSIGNED_BYTES: u8 = 8;

/// Grey images, `[images, height, width]`.
pub(crate) fn images(bytes: &[u8]) -> Decoded<Array3<u8>> {
    let ([count, height, width], values) = numbers(bytes)?;
    bounded(width, height)?;
    let images = Array3::from_shape_vec((count, height, width), values);
    Ok(images.expect("the number of values was checked"))
}

/// Classes, one for each image.
pub(crate) fn labels(bytes: &[u8]) -> Decoded<Vec<u8>> {
    let ([_], values) = numbers(bytes)?;
    Ok(values)
}

/// Sizes and numbers of a file of `N` dimensions.
fn numbers<const N: usize>(bytes: &[u8]) -> Decoded<([usize; N], Vec<u8>)> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        read(MultiGzDecoder::new(bytes))
    } else {
        read(Cursor::new(bytes))
    }
}

fn read<const N: usize>(mut reader: impl Read) -> Decoded<([usize; N], Vec<u8>)> {
    let magic = word(&mut reader)?;
    let expected = [0, 0, UNSIGNED_BYTES, N as u8];
    if magic != expected {
        return Err(format!("first bytes {magic:02x?}, expected {expected:02x?}"));
    }
    let mut sizes = [0; N];
    for size in &mut sizes {
        *size = u32::from_be_bytes(word(&mut reader)?) as usize;
    }
    let product = sizes.iter().try_fold(1_u64, |all, &size| all.checked_mul(size as u64));
    let length = product.filter(|&length| length <= MAX_BYTES);
    let length = length.ok_or_else(|| format!("sizes {sizes:?}, more than {MAX_BYTES} bytes"))?;
    let mut values = Vec::new();
    // One byte more than there should be, so that a longer file shows and gzip reads its check sum.
    reader.take(length + 1).read_to_end(&mut values).map_err(cut)?;
    let found = values.len() as u64;
    let wrong = || format!("sizes {sizes:?} need {length} bytes, found {}", amount(found, length));
    (found == length).then_some((sizes, values)).ok_or_else(wrong)
}

fn amount(found: u64, length: u64) -> String {
    if found > length { "more".to_owned() } else { found.to_string() }
}

fn word(reader: &mut impl Read) -> Decoded<[u8; 4]> {
    let mut word = [0; 4];
    reader.read_exact(&mut word).map_err(cut)?;
    Ok(word)
}

fn cut(error: std::io::Error) -> String {
    format!("cut off or damaged: {error}")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// Bytes of an idx file.
    pub(crate) fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, UNSIGNED_BYTES, sizes.len() as u8];
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        [bytes, values.to_vec()].concat()
    }

    /// The same bytes, packed.
    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_packed_files_hold_the_same() {
        let bytes = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let expected = ndarray::array![[[1, 2, 3]], [[4, 5, 6]]];
        assert_eq!(images(&bytes).unwrap(), expected);
        assert_eq!(images(&gzip(&bytes)).unwrap(), expected);
        assert_eq!(labels(&idx(&[3], &[7, 8, 9])).unwrap(), [7, 8, 9]);
    }

    #[test]
    fn wrong_first_bytes_are_named() {
        let bytes = idx(&[3], &[7, 8, 9]);
        assert_eq!(
            images(&bytes).unwrap_err(),
            "first bytes [00, 00, 08, 01], expected [00, 00, 08, 03]"
        );
        let shorts = [0, 0, 0x0b, 1, 0, 0, 0, 1, 0, 1];
        assert!(labels(&shorts).unwrap_err().starts_with("first bytes [00, 00, 0b, 01]"));
        assert!(labels(b"\0\0").unwrap_err().starts_with("cut off"));
    }

    #[test]
    fn lengths_must_fit_the_header() {
        let short = labels(&idx(&[4], &[7, 8, 9])).unwrap_err();
        assert_eq!(short, "sizes [4] need 4 bytes, found 3");
        let long = labels(&idx(&[2], &[7, 8, 9])).unwrap_err();
        assert_eq!(long, "sizes [2] need 2 bytes, found more");
        let no_pixels = images(&idx(&[1, 0, 3], &[])).unwrap_err();
        assert!(no_pixels.starts_with("3 x 0 pixels"), "{no_pixels}");
    }

    #[test]
    fn huge_headers_take_no_memory() {
        for sizes in [[u32::MAX; 3], [60_000, 1 << 10, 1 << 10]] {
            let error = images(&idx(&sizes, &[1])).unwrap_err();
            assert!(error.ends_with("more than 1073741824 bytes"), "{error}");
        }
        let error = images(&gzip(&idx(&[1 << 20, 1 << 5, 1 << 5], &[1]))).unwrap_err();
        assert!(error.ends_with("need 1073741824 bytes, found 1"), "{error}");
    }

    #[test]
    fn a_cut_gzip_is_refused_wherever_it_is_cut() {
        let packed = gzip(&idx(&[300], &[5; 300]));
        for length in 2..packed.len() {
            let error = labels(&packed[..length]).unwrap_err();
            assert!(error.starts_with("cut off or damaged"), "{length}: {error}");
        }
        let mut damaged = packed.clone();
        let sum = packed.len() - 8;
        damaged[sum] ^= 1;
        assert!(labels(&damaged).is_err());
    }
}
