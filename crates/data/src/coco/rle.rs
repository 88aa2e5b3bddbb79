//! Run-length encoding of masks, column by column.

use crate::decode::Decoded;

/// A mask as runs of pixels outside and inside of it, alternating, the first one outside; pixels
/// are counted down the columns, from the left one on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rle {
    /// `[height, width]`.
    pub(crate) size: [usize; 2],
    /// Lengths of the runs.
    pub(crate) counts: Vec<u32>,
}

impl Rle {
    /// Runs as the JSON lists them.
    ///
    /// # Errors
    /// Runs that are not as many pixels as the mask has.
    pub(crate) fn new(size: [usize; 2], counts: Vec<u32>) -> Decoded<Self> {
        let pixels = size[0].checked_mul(size[1]);
        let found: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        match pixels {
            Some(pixels) if found == pixels as u64 => Ok(Self { size, counts }),
            _ => {
                let [height, width] = size;
                Err(format!("expected RLE of {height} x {width} pixels, found one of {found}"))
            }
        }
    }

    /// Runs in the characters of pycocotools: groups of five bits from the lowest one on, 48 added
    /// to each; from the fourth run on the difference to the run before the last.
    ///
    /// # Errors
    /// Characters of no such text, and as [`Rle::new`].
    pub(crate) fn from_text(size: [usize; 2], text: &str) -> Decoded<Self> {
        let mut counts: Vec<u32> = Vec::new();
        let mut bytes = text.bytes();
        while let Some(first) = bytes.next() {
            let value = number(first, &mut bytes)?;
            let base = if counts.len() > 2 { i64::from(counts[counts.len() - 2]) } else { 0 };
            let count = u32::try_from(value + base);
            counts.push(count.map_err(|_| format!("a run of {} pixels in RLE", value + base))?);
        }
        Self::new(size, counts)
    }

    /// Calls `paint` with row and column of every pixel inside.
    pub(crate) fn each_pixel(&self, mut paint: impl FnMut(usize, usize)) {
        let (height, mut place) = (self.size[0], 0);
        for (run, &count) in self.counts.iter().enumerate() {
            let end = place + count as usize;
            if run % 2 == 1 {
                (place..end).for_each(|pixel| paint(pixel % height, pixel / height));
            }
            place = end;
        }
    }
}

/// One number of a compressed text.
fn number(first: u8, rest: &mut impl Iterator<Item = u8>) -> Decoded<i64> {
    let (mut value, mut shift, mut byte) = (0_i64, 0, first);
    loop {
        let group = byte.checked_sub(48).filter(|&group| group < 64);
        let group = i64::from(group.ok_or_else(|| format!("the byte {byte} in RLE"))?);
        value |= (group & 0x1f) << shift;
        shift += 5;
        if group & 0x20 == 0 {
            let negative = group & 0x10 != 0;
            return Ok(if negative { value | (-1 << shift) } else { value });
        }
        // Eight groups hold more than any run.
        byte = match rest.next() {
            Some(next) if shift < 40 => next,
            _ => return Err("RLE that ends within a number".to_owned()),
        };
    }
}
