//! Photographs and label maps as PNG.

use std::io::Cursor;

use ndarray::{Array2, Array3};
use png::{BitDepth, Decoder, Limits, Transformations};

use super::{Decoded, affordable, bounded};

/// Values of all channels, row by row, as stored.
struct Pixels {
    height: usize,
    width: usize,
    channels: usize,
    bits: u32,
    values: Vec<u16>,
}

pub(crate) fn rgb(bytes: &[u8]) -> Decoded<Array3<u8>> {
    let pixels = pixels(bytes, Transformations::EXPAND | Transformations::STRIP_16)?;
    let colours = pixels.channels >= 3;
    let shape = (pixels.height, pixels.width, 3);
    let value = |(y, x, c): (usize, usize, usize)| {
        let channel = if colours { c } else { 0 };
        pixels.values[(y * pixels.width + x) * pixels.channels + channel] as u8
    };
    Ok(Array3::from_shape_fn(shape, value))
}

/// What a file of classes holds.
#[derive(Debug)]
pub(crate) enum IndexOrColour {
    /// One number per pixel.
    Index(Array2<u16>),
    /// One colour per pixel.
    Colour(Array3<u16>),
}

pub(crate) fn index(bytes: &[u8]) -> Decoded<Array2<u16>> {
    pixels(bytes, Transformations::IDENTITY)?.index()
}

pub(crate) fn index_or_colour(bytes: &[u8]) -> Decoded<IndexOrColour> {
    let pixels = pixels(bytes, Transformations::IDENTITY)?;
    match pixels.channels {
        1 => pixels.index().map(IndexOrColour::Index),
        _ => pixels.colour().map(IndexOrColour::Colour),
    }
}

pub(crate) fn colour(bytes: &[u8]) -> Decoded<(Array3<u16>, u16)> {
    let pixels = pixels(bytes, Transformations::IDENTITY)?;
    let largest = if pixels.bits == 16 { u16::MAX } else { 255 };
    Ok((pixels.colour()?, largest))
}

impl Pixels {
    fn index(self) -> Decoded<Array2<u16>> {
        if self.channels != 1 {
            return Err(format!("{} channels per pixel, expected 1", self.channels));
        }
        let shape = (self.height, self.width);
        Ok(Array2::from_shape_vec(shape, self.values).expect("one value per pixel"))
    }

    fn colour(&self) -> Decoded<Array3<u16>> {
        if self.channels < 3 {
            return Err(format!("{} channels per pixel, expected 3", self.channels));
        }
        let shape = (self.height, self.width, 3);
        let at = |(y, x, c)| self.values[(y * self.width + x) * self.channels + c];
        Ok(Array3::from_shape_fn(shape, at))
    }
}

fn pixels(bytes: &[u8], transformations: Transformations) -> Decoded<Pixels> {
    let limits = Limits { bytes: super::MAX_BYTES as usize };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let [width, height] = [reader.info().width, reader.info().height].map(|v| v as usize);
    bounded(width, height)?;
    let size = reader.output_buffer_size().ok_or("too large")?;
    // The bytes as stored, and two more for each: all numbers are of 16 bits later.
    affordable(3 * size)?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(|error| error.to_string())?;
    let channels = frame.color_type.samples();
    let row = width * channels;
    let rows = buffer.chunks_exact(frame.line_size).take(height);
    let values = rows.flat_map(|line| unpacked(line, frame.bit_depth, row)).collect();
    Ok(Pixels { height, width, channels, bits: frame.bit_depth as u32, values })
}

/// The `count` values of one row.
fn unpacked(line: &[u8], depth: BitDepth, count: usize) -> Vec<u16> {
    let bits = depth as usize;
    match depth {
        BitDepth::Sixteen => {
            line.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
        }
        BitDepth::Eight => line.iter().copied().map(u16::from).collect(),
        _ => {
            let value = |k: usize| line[k * bits / 8] >> (8 - bits - k * bits % 8);
            let mask = (1 << bits) - 1;
            (0..count).map(|k| u16::from(value(k)) & mask).collect()
        }
    }
}
