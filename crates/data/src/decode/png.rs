//! Photographs and label maps as PNG.

use std::io::Cursor;

use ndarray::{Array2, Array3};
use png::{BitDepth, Decoder, Limits, Transformations};

use super::bits::unpacked;
use super::bounds::{Decoded, MAX_BYTES, affordable, bounded, explained};
use super::orientation::Orientation;
use super::photograph::Photograph;

/// Values of all channels, row by row, as stored.
struct Pixels {
    height: usize,
    width: usize,
    channels: usize,
    values: Values,
    orientation: Orientation,
}

/// Numbers of up to 8 bits, or of 16.
enum Values {
    Bytes(Vec<u8>),
    Words(Vec<u16>),
}

pub(crate) fn rgb(bytes: &[u8]) -> Decoded<Photograph> {
    let pixels = pixels(bytes, Transformations::EXPAND | Transformations::STRIP_16)?;
    let shape = (pixels.height, pixels.width, 3);
    let Values::Bytes(values) = pixels.values else { return Err("more than 8 bits".to_owned()) };
    let colours: Vec<u8> = match pixels.channels {
        3 => values,
        4 => values.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
        channels => values.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect(),
    };
    let colours = Array3::from_shape_vec(shape, colours).expect("three values for every pixel");
    Ok(Photograph { pixels: colours, orientation: pixels.orientation })
}

/// What a file of classes holds.
#[derive(Debug)]
pub(crate) enum IndexOrColour {
    /// One number per pixel.
    Index(Index),
    /// One colour per pixel.
    Colour(Array3<u16>),
}

/// One number per pixel, in as many bytes as it needs.
#[derive(Debug, PartialEq)]
pub(crate) enum Index {
    /// Numbers of up to 8 bits.
    Bytes(Array2<u8>),
    /// Numbers of 16 bits.
    Words(Array2<u16>),
}

impl Index {
    /// The numbers in wide form.
    pub(crate) fn words(self) -> Array2<u16> {
        match self {
            Self::Bytes(map) => map.mapv(u16::from),
            Self::Words(map) => map,
        }
    }
}

pub(crate) fn index(bytes: &[u8]) -> Decoded<Index> {
    pixels(bytes, Transformations::IDENTITY)?.index()
}

pub(crate) fn index_or_colour(bytes: &[u8]) -> Decoded<IndexOrColour> {
    let pixels = pixels(bytes, Transformations::IDENTITY)?;
    match pixels.channels {
        1 | 2 => pixels.index().map(IndexOrColour::Index),
        _ => pixels.colour().map(IndexOrColour::Colour),
    }
}

pub(crate) fn colour(bytes: &[u8]) -> Decoded<(Array3<u16>, u16)> {
    let pixels = pixels(bytes, Transformations::IDENTITY)?;
    let largest = if matches!(pixels.values, Values::Words(_)) { u16::MAX } else { 255 };
    Ok((pixels.colour()?, largest))
}

impl Pixels {
    /// Grey values, without transparency where there is any.
    fn index(self) -> Decoded<Index> {
        if self.channels > 2 {
            return Err(format!("{} channels per pixel, expected 1", self.channels));
        }
        let (shape, fits) = ((self.height, self.width), "one value per pixel");
        Ok(match self.values {
            Values::Bytes(values) => {
                let grey = first_of(values, self.channels);
                Index::Bytes(Array2::from_shape_vec(shape, grey).expect(fits))
            }
            Values::Words(values) => {
                let grey = first_of(values, self.channels);
                Index::Words(Array2::from_shape_vec(shape, grey).expect(fits))
            }
        })
    }

    fn colour(self) -> Decoded<Array3<u16>> {
        if self.channels < 3 {
            return Err(format!("{} channels per pixel, expected 3", self.channels));
        }
        let values: Vec<u16> = match self.values {
            Values::Bytes(values) => values.into_iter().map(u16::from).collect(),
            Values::Words(values) => values,
        };
        let colours = values.chunks_exact(self.channels).flat_map(|p| [p[0], p[1], p[2]]).collect();
        let shape = (self.height, self.width, 3);
        Ok(Array3::from_shape_vec(shape, colours).expect("three values for every pixel"))
    }
}

/// The first number of each pixel.
fn first_of<T: Copy>(values: Vec<T>, channels: usize) -> Vec<T> {
    if channels == 1 { values } else { values.into_iter().step_by(channels).collect() }
}

fn pixels(bytes: &[u8], transformations: Transformations) -> Decoded<Pixels> {
    let limits = Limits { bytes: MAX_BYTES as usize };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let [width, height] = [reader.info().width, reader.info().height].map(|v| v as usize);
    bounded(width, height)?;
    explained(reader.info().raw_bytes(), bytes.len())?;
    let size = reader.output_buffer_size().ok_or("too large")?;
    // The bytes as stored, which become three colours or, each, eight numbers of one bit.
    affordable(if reader.output_color_type().1 == BitDepth::Eight { 3 * size } else { 9 * size })?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(|error| error.to_string())?;
    let channels = frame.color_type.samples();
    let values = values(buffer, frame.bit_depth, [frame.line_size, width * channels]);
    // The mark may stand behind the pixels; what is damaged there does not concern them.
    let _ = reader.finish();
    let orientation = Orientation::of_exif(reader.info().exif_metadata.as_deref());
    Ok(Pixels { height, width, channels, values, orientation })
}

/// The numbers of rows of `line_size` bytes, `row` numbers each.
fn values(buffer: Vec<u8>, depth: BitDepth, [line_size, row]: [usize; 2]) -> Values {
    let bits = depth as usize;
    match depth {
        BitDepth::Sixteen => {
            let pairs = buffer.chunks_exact(2);
            Values::Words(pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        // A row of whole bytes has nothing behind it.
        BitDepth::Eight => Values::Bytes(buffer),
        _ => Values::Bytes(unpacked(&buffer, line_size, row, bits).collect()),
    }
}
