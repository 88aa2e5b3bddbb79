//! What arrays of numbers are labels of.

use std::path::Path;

use ndarray::ArrayD;

use super::found::Found;
use super::numbered::{MOST_CLASSES, numbered};
use super::series::Series;
use super::stored;
use super::values::{Counts, colour_unit_share, vector_unit_share};
use crate::decode::{About, read_array};

/// Files of a series that are looked at.
const SAMPLES: usize = 8;
/// Most numbers of arrays that are counted.
const MOST_NUMBERS: usize = 4_000_000;
/// Share of vectors of unit length that normals have, at least.
const UNIT: f64 = 0.9;
/// Arrays so many times smaller than the largest of their file are none of pixels, but of a camera.
const SMALLER: u64 = 64;

/// Files of one array each: NumPy, EXR, PFM or TIFF.
pub(super) fn of_files(folder: &Path, series: &Series) -> Result<Found, String> {
    let mut reasons = Vec::new();
    let mut read = |path: std::path::PathBuf| {
        read_array(&folder.join(path)).map_err(|error| reasons.push(error.to_string())).ok()
    };
    let (formats, arrays): (Vec<&'static str>, Vec<ArrayD<f64>>) =
        series.samples(SAMPLES).filter_map(&mut read).unzip();
    if arrays.is_empty() {
        return Err(several(&reasons));
    }
    kind(formats[0], &arrays, &series.word().unwrap_or_default())
}

/// The first of several reasons, and how many there are: files of one series have the same.
pub(super) fn several(reasons: &[String]) -> String {
    match reasons {
        [] => "no file".to_owned(),
        [only] => only.clone(),
        [first, more @ ..] => format!("{first}; and {} more", more.len()),
    }
}

/// Files of HDF5 or MATLAB, one for each image, whose arrays `prefix:NAME` reads: a label for each
/// array that stands in no group.
pub(super) fn of_arrays(
    folder: &Path,
    series: &Series,
    prefix: &str,
) -> Result<Vec<Found>, String> {
    let first = series.samples(1).next().ok_or("no file")?;
    let about = stored::arrays(&folder.join(first)).map_err(|error| error.to_string())?;
    if about.is_empty() {
        return Err("no array of numbers outside of groups".to_owned());
    }
    let count = |about: &About| about.shape.iter().fold(1, |n: u64, side| n.saturating_mul(*side));
    let most = about.iter().map(count).max().unwrap_or(0);
    let (mut all, mut reasons) = (Vec::new(), Vec::new());
    for array in &about {
        let format = format!("{prefix}:{}", array.name);
        let found = match array.shape.len() {
            2 | 3 if count(array) >= most / SMALLER => {
                of_array(folder, series, &format, &array.name)
            }
            _ => Err(format!("shape {:?} is none of a map", array.shape)),
        };
        match found {
            Ok(found) => all.push(Found { array: Some(array.name.clone()), ..found }),
            Err(reason) => reasons.push(format!("array {}: {reason}", array.name)),
        }
    }
    match all.first_mut() {
        Some(first) => first.notes.extend(reasons),
        None => return Err(reasons.join("; ")),
    }
    Ok(all)
}

fn of_array(folder: &Path, series: &Series, format: &str, name: &str) -> Result<Found, String> {
    let read = |path| stored::array(&folder.join(path), format);
    let arrays: Vec<ArrayD<f64>> = series.samples(SAMPLES).filter_map(read).collect();
    if arrays.is_empty() {
        return Err("in no file that can be read".to_owned());
    }
    let name = format!("{}_{}", series.word().unwrap_or_default(), name.to_lowercase());
    let found = kind(format, &arrays, &name)?;
    let note = format!("files of one image each, read as {format}: {} by its numbers", found.kind);
    Ok(found.noting(note))
}

fn kind(format: &str, arrays: &[ArrayD<f64>], name: &str) -> Result<Found, String> {
    match arrays[0].shape() {
        [_, _, 3 | 4] => vectors(format, arrays),
        [_, _] | [_, _, 1] | [1, _, _] => Ok(map(format, arrays, name)),
        shape => Err(format!("arrays of shape {shape:?}")),
    }
}

/// Vectors of unit length are normals; colours are not.
fn vectors(format: &str, arrays: &[ArrayD<f64>]) -> Result<Found, String> {
    let mean = |share: fn(&ArrayD<f64>) -> f64| {
        arrays.iter().map(share).sum::<f64>() / arrays.len() as f64
    };
    let stored = || arrays.iter().flatten();
    let whole = stored().all(|v| v.fract() == 0.0 && *v >= 0.0) && stored().any(|v| *v > 1.0);
    match whole {
        false if arrays[0].shape()[2] == 3 && mean(vector_unit_share) > UNIT => {
            Ok(Found::new("normals", format))
        }
        false => Err(format!(
            "several numbers for each pixel, not of unit length: where they are normals all the \
             same, say kind = \"normals\" and format = {format:?} by hand"
        )),
        true if mean(colour_unit_share) > UNIT => {
            Err("normals in bytes, which are read from PNG alone: save them as PNG, which \
             `normals_png` reads"
                .to_owned())
        }
        true if format == "tiff" => Err("colours in TIFF: save them as PNG, such as by `magick \
                                         mogrify -format png`, which `rgb_png` reads by `palette`"
            .to_owned()),
        true => Err("colours, which `rgb_png` reads from PNG alone".to_owned()),
    }
}

fn map(format: &str, arrays: &[ArrayD<f64>], name: &str) -> Found {
    let stored = || arrays.iter().flatten();
    // Hypersim's semantics have -1 where there is no label.
    let whole = stored().all(|v| v.fract() == 0.0 && (-1.0..=65535.0).contains(v));
    let mut counts = Counts::default();
    if whole {
        counts.add(stored().take(MOST_NUMBERS).filter(|v| **v >= 0.0).map(|v| *v as u32));
    }
    if !whole {
        return Found::new("depth", format).with("scale = 1.0");
    }
    if counts.len() > MOST_CLASSES {
        // Whole numbers of so many values are millimetres, as cameras write them.
        return Found::new("depth", format)
            .with("scale = 0.001 # metres per stored unit: check this");
    }
    let mut found = numbered(&counts, name, format, false);
    if stored().any(|v| *v < 0.0) {
        found.ignore.insert(0, -1);
    }
    found
}
