//! Arrays by name in files that hold several: HDF5, MATLAB's of both versions, and safetensors.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::ArrayD;
use safetensors::SafeTensors;

use crate::Result;
use crate::decode::{
    About, Hdf5, damaged, hdf5_array, is_matlab, mat_variable, mat_variables, read,
    safetensors_array, unreadable,
};

/// What a file that is refused should be.
const HDF5: &str = "HDF5 file";
const SAFETENSORS: &str = "safetensors file";

/// Whether a file is one of MATLAB's version 7.3, which is HDF5.
pub(super) fn is_matlab_hdf5(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    read.is_ok() && is_matlab(&head)
}

/// The arrays of an HDF5 file that stand in no group, or those of MATLAB's v5, in the order of names.
pub(super) fn arrays(path: &Path) -> Result<Vec<About>> {
    if is_v5(path) {
        return variables(path);
    }
    let file = Hdf5::open(path).map_err(unreadable(path))?;
    let arrays = file.and_then(|file| file.arrays());
    let mut arrays = arrays.map_err(|reason| damaged(path, HDF5, reason))?;
    arrays.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(arrays)
}

/// Whether a file is one of MATLAB's version 5, by its ending and first bytes.
fn is_v5(path: &Path) -> bool {
    let named = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("mat"));
    named && !is_matlab_hdf5(path)
}

/// The variables of a file of MATLAB's version 5 that are numbers.
fn variables(path: &Path) -> Result<Vec<About>> {
    let bytes = read(path)?;
    let about = |name: String| {
        let array = mat_variable(&bytes, path, &name).ok()?.numbers().ok()?;
        let shape = array.shape().iter().map(|&side| side as u64).collect();
        Some(About { name, shape, bytes: false })
    };
    let mut found: Vec<About> = mat_variables(path)?.into_iter().filter_map(about).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// The array that a format such as `hdf5:NAME`, `mat:NAME` or `safetensors:NAME` reads from a file.
pub(super) fn array(path: &Path, format: &str) -> Option<ArrayD<f64>> {
    let (format, name) = format.split_once(':')?;
    let bytes = read(path).ok()?;
    match format {
        "safetensors" => safetensors_array(&bytes, path, name).ok(),
        "mat" if !is_matlab(&bytes) => mat_variable(&bytes, path, name).ok()?.numbers().ok(),
        _ => hdf5_array(&bytes, path, name).ok(),
    }
}

/// Names and shapes of the tensors of a safetensors file, in the order of names.
pub(super) fn tensors(path: &Path) -> Result<Vec<(String, Vec<usize>)>> {
    let bytes = read(path)?;
    let file = SafeTensors::deserialize(&bytes);
    let file = file.map_err(|error| damaged(path, SAFETENSORS, error.to_string()))?;
    let all = file.tensors().into_iter().map(|(name, view)| (name, view.shape().to_vec()));
    let mut all: Vec<(String, Vec<usize>)> = all.collect();
    all.sort();
    Ok(all)
}
