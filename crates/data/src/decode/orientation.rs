//! How a picture is to be turned for display: Exif's tag 274, "Orientation" (CIPA DC-008,
//! section 4.6.4).

use image::metadata::Orientation as Exif;
use ndarray::{Array3, Axis};

/// Exif's orientation mark, 1 to 8: how the pixels as stored become the picture as a viewer shows
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Orientation(u8);

impl Orientation {
    /// Mark 1: as stored.
    pub const UPRIGHT: Self = Self(1);

    /// The mark within Exif's bytes (a TIFF header and its first directory); [`Self::UPRIGHT`]
    /// where there is none.
    pub(crate) fn of_exif(bytes: Option<&[u8]>) -> Self {
        // PNG's chunk and some cameras repeat the name that JPEG puts in front.
        let bytes = bytes.map(|bytes| bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes));
        let found = bytes.and_then(Exif::from_exif_chunk);
        found.map_or(Self::UPRIGHT, Self::from)
    }

    /// The mark as stored, 1 to 8.
    pub fn mark(self) -> u8 {
        self.0
    }

    /// What the mark asks for, in words.
    pub fn describe(self) -> &'static str {
        match self.0 {
            2 => "mirrored left to right",
            3 => "turned by 180 degrees",
            4 => "mirrored top to bottom",
            5 => "mirrored along the main diagonal",
            6 => "turned by 90 degrees clockwise",
            7 => "mirrored along the other diagonal",
            8 => "turned by 90 degrees anticlockwise",
            _ => "as stored",
        }
    }

    /// Whether width and height change places.
    pub(crate) fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// The picture `[height, width, 3]` as a viewer shows it.
    pub(crate) fn applied(self, mut picture: Array3<u8>) -> Array3<u8> {
        let (vertical, horizontal) = (Axis(0), Axis(1));
        if self.swaps_sides() {
            picture.swap_axes(0, 1);
        }
        if matches!(self.0, 3 | 4 | 7 | 8) {
            picture.invert_axis(vertical);
        }
        if matches!(self.0, 2 | 3 | 6 | 7) {
            picture.invert_axis(horizontal);
        }
        // What follows reads row by row.
        if self == Self::UPRIGHT { picture } else { picture.as_standard_layout().into_owned() }
    }
}

impl From<Exif> for Orientation {
    fn from(found: Exif) -> Self {
        Self(found.to_exif())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exif's bytes of either byte order.
    fn exif(mark: u8, big: bool) -> Vec<u8> {
        let (order, short, long): (&[u8], _, _) = match big {
            true => (
                b"MM\0*",
                u16::to_be_bytes as fn(u16) -> [u8; 2],
                u32::to_be_bytes as fn(u32) -> [u8; 4],
            ),
            false => (
                b"II*\0",
                u16::to_le_bytes as fn(u16) -> [u8; 2],
                u32::to_le_bytes as fn(u32) -> [u8; 4],
            ),
        };
        let entry = [&short(0x112)[..], &short(3), &long(1), &short(u16::from(mark)), &short(0)];
        [order, &long(8), &short(1), &entry.concat(), &long(0)].concat()
    }

    #[test]
    fn marks_are_found_in_both_byte_orders() {
        for mark in 1..=8 {
            for big in [false, true] {
                let bytes = exif(mark, big);
                assert_eq!(Orientation::of_exif(Some(&bytes)).mark(), mark);
                let named = [b"Exif\0\0".as_slice(), &bytes].concat();
                assert_eq!(Orientation::of_exif(Some(&named)).mark(), mark);
            }
        }
        for nothing in
            [None, Some(&b""[..]), Some(&b"II*\0\xff\xff\xff\xff"[..]), Some(&exif(9, true)[..])]
        {
            assert_eq!(Orientation::of_exif(nothing), Orientation::UPRIGHT);
        }
    }

    // Pillow 13.0.0, `ImageOps.exif_transpose` of the grey values [[1, 2, 3], [4, 5, 6]].
    const TURNED: [&[&[u8]]; 8] = [
        &[&[1, 2, 3], &[4, 5, 6]],
        &[&[3, 2, 1], &[6, 5, 4]],
        &[&[6, 5, 4], &[3, 2, 1]],
        &[&[4, 5, 6], &[1, 2, 3]],
        &[&[1, 4], &[2, 5], &[3, 6]],
        &[&[4, 1], &[5, 2], &[6, 3]],
        &[&[6, 3], &[5, 2], &[4, 1]],
        &[&[3, 6], &[2, 5], &[1, 4]],
    ];

    #[test]
    fn pictures_are_turned_as_pillow_turns_them() {
        let stored = Array3::from_shape_fn((2, 3, 3), |(y, x, _)| (3 * y + x + 1) as u8);
        for (mark, expected) in (1..).zip(TURNED) {
            let orientation = Orientation(mark);
            let turned = orientation.applied(stored.clone());
            assert_eq!(orientation.swaps_sides(), turned.dim().0 == 3);
            let rows = expected.iter().enumerate();
            for (y, row) in rows {
                let found: Vec<u8> = (0..row.len()).map(|x| turned[[y, x, 0]]).collect();
                assert_eq!(found, *row, "mark {mark}, row {y}");
            }
            assert!(turned.is_standard_layout());
        }
    }
}
