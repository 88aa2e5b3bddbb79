//! HDF5 files whose arrays have a row for each sample, as NYUD-v2's own `nyu_depth_v2_labeled.mat`.
//!
//! An array is a part. Bytes with three channels are images, and so is one number for each pixel where
//! an image is asked for; single numbers are text, and whatever else is an array of NumPy's. A row is
//! read alone.

use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis};

use super::records::Packed;
use super::tables::{Table, Tables};
use crate::Result;
use crate::decode::{About, Decoded, Hdf5, damaged, unreadable};
use crate::npy::npy;

pub(super) const FORMAT: Packed = Packed {
    name: "hdf5",
    endings: &["h5", "hdf5", "mat"],
    image: "images;image;rgb",
    open: |files| Tables::<Arrays>::open(files),
    open_remote: None,
};

#[derive(Debug)]
struct Arrays {
    path: PathBuf,
    file: Hdf5,
    arrays: Vec<About>,
    rows: usize,
}

impl Table for Arrays {
    const EXPECTED: &'static str = "HDF5 file";

    fn open(path: &Path) -> Result<Self> {
        let wrong = |reason: String| damaged(path, Self::EXPECTED, reason);
        let file = Hdf5::open(path).map_err(unreadable(path))?.map_err(wrong)?;
        let arrays = file.arrays().map_err(wrong)?;
        let rows = rows(&arrays).map_err(wrong)?;
        let own = |about: &About| about.shape.first() == Some(&rows);
        let arrays = arrays.into_iter().filter(own).collect();
        let rows = usize::try_from(rows).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { path: path.to_owned(), file, arrays, rows })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn size(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.path).map_err(unreadable(&self.path))?.len())
    }

    fn length(&self, _row: usize) -> u64 {
        let of_row = |about: &About| product(&about.shape[1..]);
        self.arrays.iter().map(of_row).fold(0, u64::saturating_add)
    }

    fn parts(&self) -> Vec<String> {
        self.arrays.iter().map(|about| about.name.clone()).collect()
    }

    fn read(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>> {
        self.written(row, part, value)
    }

    fn image(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>> {
        self.written(row, part, image)
    }
}

impl Arrays {
    /// A row of the array `part`, as `write` makes a file of it.
    fn written(&self, row: usize, part: &str, write: Write) -> Result<Option<Vec<u8>>> {
        let Some(about) = self.arrays.iter().find(|about| about.name == part) else {
            return Ok(None);
        };
        let wrong = |reason| damaged(&self.path, Self::EXPECTED, format!("{part}: {reason}"));
        let array = self.file.row(part, row as u64);
        array.and_then(|array| write(&array, about)).map(Some).map_err(wrong)
    }
}

/// What makes a file of a row.
type Write = fn(&ArrayD<f64>, &About) -> Decoded<Vec<u8>>;

fn value(array: &ArrayD<f64>, about: &About) -> Decoded<Vec<u8>> {
    match array.shape() {
        [] => Ok(array.iter().map(|number| format!("{number}\n")).collect::<String>().into()),
        [_, _, 3] if about.bytes => image(array, about),
        shape => {
            let numbers: Vec<[u8; 8]> = array.iter().map(|number| number.to_le_bytes()).collect();
            Ok(npy("<f8", shape, numbers.into_flattened()))
        }
    }
}

/// Rows of the array with most numbers.
fn rows(arrays: &[About]) -> Decoded<u64> {
    let numbers = |about: &&About| product(&about.shape);
    let largest = arrays.iter().filter(|about| !about.shape.is_empty()).max_by_key(numbers);
    let none = "expected arrays of numbers outside of groups, found none";
    largest.map(|about| about.shape[0]).ok_or_else(|| none.to_owned())
}

fn product(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |all: u64, &side| all.saturating_mul(side))
}

/// An image, `[height, width, 3]`, or `[height, width]` where it is grey, as a PNG file.
fn image(array: &ArrayD<f64>, about: &About) -> Decoded<Vec<u8>> {
    match array.shape() {
        _ if !about.bytes => {
            Err("expected images of bytes (uint8), found other numbers".to_owned())
        }
        [_, _, 3] => png(array, png::ColorType::Rgb),
        [_, _] | [_, _, 1] => png(array, png::ColorType::Grayscale),
        shape @ [1 | 3, _, _] => Err(format!(
            "expected images with channels last, [height, width, 3], found {shape:?}, channels \
             first: write numpy.moveaxis(array, 1, -1)"
        )),
        shape => {
            Err(format!("expected images [height, width, 3] or [height, width], found {shape:?}"))
        }
    }
}

fn png(array: &ArrayD<f64>, color: png::ColorType) -> Decoded<Vec<u8>> {
    let side = |axis| u32::try_from(array.len_of(Axis(axis))).map_err(|error| error.to_string());
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side(1)?, side(0)?);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fastest);
    let pixels: Vec<u8> = array.iter().map(|&value| value as u8).collect();
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(file)
}
