//! Files to arrays: one file per format, each a function from bytes to values or a reason why not.
//!
//! Whatever the bytes say, memory stays bounded: sizes are checked before anything is allocated.

mod bits;
mod bounds;
pub(crate) mod exr;
mod file;
pub(crate) mod hdf5;
pub(crate) mod idx;
pub(crate) mod jpeg;
pub(crate) mod mat;
pub(crate) mod npy;
mod orientation;
pub(crate) mod other;
pub(crate) mod pfm;
mod photograph;
pub(crate) mod png;
pub(crate) mod safetensors;
mod text;
pub(crate) mod tiff;

use std::path::{Path, PathBuf};

use ndarray::{Array3, ArrayD};

pub(crate) use self::bounds::{Decoded, MAX_BYTES, bounded, explained};
pub(crate) use self::file::read;
pub(crate) use self::file::{damaged, unreadable};
pub(crate) use self::hdf5::{About, Hdf5, is_matlab};
pub(crate) use self::mat::Value;
pub use self::orientation::Orientation;
pub(crate) use self::photograph::Photograph;
pub(crate) use self::png::{Index, IndexOrColour};
pub(crate) use self::text::decode_text;
pub use self::text::read_text;
pub(crate) use self::tiff::is_tiff;
use crate::Result;

/// Endings of files that are images.
pub(crate) const IMAGE_ENDINGS: [&str; 8] =
    ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "jpe"];
/// What a file of maps that is refused should be.
const SAFETENSORS: &str = "safetensors file";
/// Formats that photographs may have.
const ANY_IMAGE: &str = "JPEG, PNG, WebP, TIFF or BMP image";
/// Photographs with less than this many pixels on a side show nothing: a place holder that a
/// download left, more likely than an image.
const MIN_SIDE: usize = 2;

/// Whether a file is called like an image that [`read_image`] reads.
pub fn is_image_file(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    IMAGE_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Reads a photograph as RGB, `[height, width, 3]`, turned as its orientation mark says. Grey
/// images are repeated, transparency is dropped, 16-bit values keep their upper byte.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be read; [`Error::Decode`](crate::Error::Decode) if it is not JPEG, PNG, WebP,
/// TIFF or BMP, is cut off or damaged, has more than 100 million pixels, or is 1 pixel wide or high.
pub fn read_image(path: &Path) -> Result<Array3<u8>> {
    let photograph = read_photograph(path)?;
    Ok(photograph.orientation.applied(photograph.pixels))
}

/// As [`read_image`], from bytes that are in memory; errors call them `name`.
///
/// # Errors
/// [`Error::Decode`](crate::Error::Decode) as for [`read_image`].
pub fn decode_image(bytes: &[u8], name: &Path) -> Result<Array3<u8>> {
    let photograph = decode_photograph(bytes, name)?;
    Ok(photograph.orientation.applied(photograph.pixels))
}

/// Reads a photograph as [`read_image`] does, without turning it.
pub(crate) fn read_photograph(path: &Path) -> Result<Photograph> {
    decode_photograph(&read(path)?, path)
}

/// Decodes a photograph as [`decode_image`] does, without turning it.
pub(crate) fn decode_photograph(bytes: &[u8], path: &Path) -> Result<Photograph> {
    let (format, image) = match bytes {
        [0xff, 0xd8, ..] => ("JPEG image", jpeg::rgb(bytes)),
        [0x89, b'P', b'N', b'G', ..] => ("PNG image", png::rgb(bytes)),
        [] => (ANY_IMAGE, Err("the file is empty".to_owned())),
        _ => match other::format(bytes) {
            Some((name, format)) => (name, other::rgb(bytes, format)),
            None => (ANY_IMAGE, Err(other::unknown(bytes).to_owned())),
        },
    };
    let image = image.and_then(|image| {
        let (height, width, _) = image.pixels.dim();
        let small = || format!("{width} x {height} pixels, expected at least 2 on each side");
        (height.min(width) >= MIN_SIDE).then_some(image).ok_or_else(small)
    });
    image.map_err(|reason| damaged(path, format, reason))
}

/// Reads the numbers of an index or grey PNG as stored: palette indices are not looked up.
pub(crate) fn index_png(bytes: &[u8], path: &Path) -> Result<Index> {
    png::index(bytes).map_err(|reason| damaged(path, "index PNG", reason))
}

/// Reads an index PNG, or the colours of one that holds colours instead.
pub(crate) fn palette_png(bytes: &[u8], path: &Path) -> Result<IndexOrColour> {
    png::index_or_colour(bytes).map_err(|reason| damaged(path, "palette PNG", reason))
}

/// [`palette_png`] of a file.
pub(crate) fn read_palette_png(path: &Path) -> Result<IndexOrColour> {
    palette_png(&read(path)?, path)
}

/// Reads a colour PNG of 8 or 16 bits, `[height, width, 3]`, and its largest possible value.
pub(crate) fn colour_png(bytes: &[u8], path: &Path) -> Result<(Array3<u16>, u16)> {
    png::colour(bytes).map_err(|reason| damaged(path, "colour PNG", reason))
}

/// [`colour_png`] of a file.
pub(crate) fn read_colour_png(path: &Path) -> Result<(Array3<u16>, u16)> {
    colour_png(&read(path)?, path)
}

/// Reads an array of any number type.
pub(crate) fn npy_array(bytes: &[u8], path: &Path) -> Result<ArrayD<f64>> {
    npy::array(bytes).map_err(|reason| damaged(path, "NumPy array", reason))
}

/// Reads an OpenEXR image: one map, or three of vectors.
pub(crate) fn exr_array(bytes: &[u8], path: &Path) -> Result<ArrayD<f64>> {
    exr::array(bytes).map_err(|reason| damaged(path, "EXR image", reason))
}

/// Reads the map `name` of a safetensors file.
pub(crate) fn safetensors_array(bytes: &[u8], path: &Path, name: &str) -> Result<ArrayD<f64>> {
    safetensors::array(bytes, name).map_err(|reason| damaged(path, SAFETENSORS, reason))
}

/// Reads the classes that are the largest of the map `name` of a safetensors file.
pub(crate) fn safetensors_argmax(bytes: &[u8], path: &Path, name: &str) -> Result<Index> {
    let map = safetensors::argmax(bytes, name);
    map.map(Index::Bytes).map_err(|reason| damaged(path, SAFETENSORS, reason))
}

/// Reads a portable float map.
pub(crate) fn pfm_array(bytes: &[u8], path: &Path) -> Result<ArrayD<f64>> {
    pfm::array(bytes).map_err(|reason| damaged(path, "PFM image", reason))
}

/// Reads the numbers of a TIFF as stored.
pub(crate) fn tiff_array(bytes: &[u8], path: &Path) -> Result<ArrayD<f64>> {
    tiff::array(bytes).map_err(|reason| damaged(path, "TIFF image", reason))
}

/// Reads an array by the first bytes of its file: NumPy, EXR, PFM or TIFF; and the format's name.
pub(crate) fn read_array(path: &Path) -> Result<(&'static str, ArrayD<f64>)> {
    let bytes = read(path)?;
    match &bytes[..] {
        [0x76, 0x2f, 0x31, 0x01, ..] => Ok(("exr", exr_array(&bytes, path)?)),
        [b'P', b'f' | b'F', ..] => Ok(("pfm", pfm_array(&bytes, path)?)),
        _ if is_tiff(&bytes) => Ok(("tiff", tiff_array(&bytes, path)?)),
        _ => Ok(("npy", npy_array(&bytes, path)?)),
    }
}

/// Reads one variable of a MATLAB v5 file.
pub(crate) fn mat_variable(bytes: &[u8], path: &Path, variable: &str) -> Result<Value> {
    let found = mat::variable(bytes, variable);
    found.map_err(|reason| damaged(path, "MATLAB v5 file", reason))
}

/// Reads an array of an HDF5 file, MATLAB's v7.3 among them.
pub(crate) fn hdf5_array(bytes: &[u8], path: &Path, name: &str) -> Result<ArrayD<f64>> {
    hdf5::array(bytes, name).map_err(|reason| damaged(path, "HDF5 file", reason))
}

/// Names of the variables of a MATLAB v5 file.
pub(crate) fn mat_variables(path: &Path) -> Result<Vec<String>> {
    mat::names(&read(path)?).map_err(|reason| damaged(path, "MATLAB v5 file", reason))
}

/// Reads the grey images of an idx file, `[images, height, width]`.
pub(crate) fn read_idx_images(path: &Path) -> Result<Array3<u8>> {
    let (path, bytes) = read_or_unpacked(path)?;
    idx::images(&bytes).map_err(|reason| damaged(&path, "idx file", reason))
}

/// Reads the classes of an idx file.
pub(crate) fn read_idx_labels(path: &Path) -> Result<Vec<u8>> {
    let (path, bytes) = read_or_unpacked(path)?;
    idx::labels(&bytes).map_err(|reason| damaged(&path, "idx file", reason))
}

/// Reads `path`, or the same name without `.gz`, because people unpack such files by hand.
fn read_or_unpacked(path: &Path) -> Result<(PathBuf, Vec<u8>)> {
    let packed = path.extension().is_some_and(|ext| ext == "gz");
    let plain = if packed { path.with_extension("") } else { path.to_owned() };
    let path = if !path.exists() && plain.exists() { plain } else { path.to_owned() };
    read(&path).map(|bytes| (path, bytes))
}

#[cfg(test)]
pub(crate) mod tests;
