//! HDF5 files whose arrays have a row for each sample, as NYUD-v2's own `nyu_depth_v2_labeled.mat`.
//!
//! An array is a part. Bytes with three channels are images, single numbers text, and whatever else
//! is an array of NumPy's. A row is read alone.

use std::path::{Path, PathBuf};

use ndarray::{ArrayD, Axis};

use super::records::Packed;
use super::tables::{Table, Tables};
use crate::Result;
use crate::decode::{About, Decoded, Hdf5, damaged, unreadable};
use crate::npy::npy;

pub(super) const FORMAT: Packed = Packed {
    name: "hdf5",
    ending: "h5",
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

    fn length(&self, _row: usize) -> u64 {
        let numbers = |about: &About| about.shape.iter().skip(1).product::<u64>();
        self.arrays.iter().map(numbers).sum()
    }

    fn parts(&self) -> Vec<String> {
        self.arrays.iter().map(|about| about.name.clone()).collect()
    }

    fn read(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let Some(about) = self.arrays.iter().find(|about| about.name == part) else {
            return Ok(None);
        };
        let wrong = |reason| damaged(&self.path, Self::EXPECTED, format!("{part}: {reason}"));
        self.value(row, about).map(Some).map_err(wrong)
    }
}

impl Arrays {
    fn value(&self, row: usize, about: &About) -> Decoded<Vec<u8>> {
        let array = self.file.row(&about.name, row as u64)?;
        match array.shape() {
            [] => Ok(array.iter().map(|number| format!("{number}\n")).collect::<String>().into()),
            [_, _, 3] if about.bytes => image(&array),
            shape => Ok(npy("<f8", shape, array.iter().flat_map(|number| number.to_le_bytes()))),
        }
    }
}

/// Rows of the array with most numbers.
fn rows(arrays: &[About]) -> Decoded<u64> {
    let numbers = |about: &&About| about.shape.iter().fold(1, |all: u64, n| all.saturating_mul(*n));
    let largest = arrays.iter().filter(|about| !about.shape.is_empty()).max_by_key(numbers);
    let none = "expected arrays of numbers outside of groups, found none";
    largest.map(|about| about.shape[0]).ok_or_else(|| none.to_owned())
}

/// An image, `[height, width, 3]`, as a PNG file.
fn image(array: &ArrayD<f64>) -> Decoded<Vec<u8>> {
    let side = |axis| u32::try_from(array.len_of(Axis(axis))).map_err(|error| error.to_string());
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side(1)?, side(0)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fastest);
    let pixels: Vec<u8> = array.iter().map(|&value| value as u8).collect();
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(file)
}
