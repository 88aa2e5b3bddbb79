//! Portable float maps, as stereo and depth sets store distances
//! (<https://netpbm.sourceforge.net/doc/pfm.html>).

use ndarray::{ArrayD, IxDyn};

use super::bounds::{Decoded, bounded};

/// Reads one or three numbers per pixel, `[height, width]` or `[height, width, 3]`. The file's rows
/// go from the bottom up; the size of its scale is passed over, its sign is the byte order.
pub(crate) fn array(bytes: &[u8]) -> Decoded<ArrayD<f64>> {
    let (channels, rest) = match bytes {
        [b'P', b'f', rest @ ..] => (1, rest),
        [b'P', b'F', rest @ ..] => (3, rest),
        _ => return Err("unknown first bytes, expected Pf or PF".to_owned()),
    };
    let (width, rest) = number(rest)?;
    let (height, rest) = number(rest)?;
    let (scale, data) = number::<f64>(rest)?;
    bounded(width, height)?;
    let row = width * channels;
    if data.len() != 4 * row * height {
        let found = format!("{} bytes of numbers, expected {}", data.len(), 4 * row * height);
        return Err(found);
    }
    let value = |place: usize| {
        let four = [0, 1, 2, 3].map(|byte| data[4 * place + byte]);
        f64::from(if scale < 0.0 { f32::from_le_bytes(four) } else { f32::from_be_bytes(four) })
    };
    let rows = (0..height).rev().flat_map(|y| (y * row..(y + 1) * row).map(value));
    let shape: &[usize] = if channels == 1 { &[height, width] } else { &[height, width, 3] };
    ArrayD::from_shape_vec(IxDyn(shape), rows.collect()).map_err(|error| error.to_string())
}

/// A number of the header and what follows the one white space behind it.
fn number<T: std::str::FromStr>(bytes: &[u8]) -> Decoded<(T, &[u8])> {
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
    let bytes = &bytes[start.ok_or("the header is cut off")?..];
    let end = bytes.iter().take(64).position(u8::is_ascii_whitespace);
    let (word, rest) = bytes.split_at(end.ok_or("the header is cut off")?);
    let word = std::str::from_utf8(word).map_err(|_| "the header is not text")?;
    let found = word.parse().map_err(|_| format!("`{word}` in the header, expected a number"))?;
    Ok((found, &rest[1..]))
}

#[cfg(test)]
mod tests {
    use super::array;

    fn file(head: &str, values: &[f32], order: fn(f32) -> [u8; 4]) -> Vec<u8> {
        head.bytes().chain(values.iter().flat_map(|&v| order(v))).collect()
    }

    #[test]
    fn rows_go_from_the_bottom_up() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let little = array(&file("Pf\n3 2\n-1.0\n", &values, f32::to_le_bytes)).unwrap();
        assert_eq!(little.shape(), [2, 3]);
        assert_eq!(little.iter().copied().collect::<Vec<_>>(), [4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
        let big = array(&file("PF 1 2 1\n", &values, f32::to_be_bytes)).unwrap();
        assert_eq!(big.shape(), [2, 1, 3]);
        assert_eq!(big[[0, 0, 2]], 6.0);
    }

    #[test]
    fn wrong_files_are_named() {
        let message = |bytes: &[u8]| array(bytes).unwrap_err();
        assert_eq!(message(b"P6\n1 1\n"), "unknown first bytes, expected Pf or PF");
        assert_eq!(message(b"Pf\n1 1"), "the header is cut off");
        assert_eq!(message(b"Pf\nx 1\n1\n"), "`x` in the header, expected a number");
        assert_eq!(message(b"Pf\n2 1\n-1\nabcd"), "4 bytes of numbers, expected 8");
        assert!(message(b"Pf\n99999999 99999999\n-1\n").contains("pixels, expected 1 to"));
    }
}
