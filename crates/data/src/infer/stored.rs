//! Arrays by name in files that hold several: HDF5, MATLAB's v7.3 among them, and safetensors.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::ArrayD;
use safetensors::SafeTensors;

use crate::Result;
use crate::decode::{
    About, Hdf5, damaged, hdf5_array, is_matlab, read, safetensors_array, unreadable,
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

/// The arrays of an HDF5 file that stand in no group, in the order of names.
pub(super) fn arrays(path: &Path) -> Result<Vec<About>> {
    let file = Hdf5::open(path).map_err(unreadable(path))?;
    let arrays = file.and_then(|file| file.arrays());
    let mut arrays = arrays.map_err(|reason| damaged(path, HDF5, reason))?;
    arrays.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(arrays)
}

/// The array that a format such as `hdf5:NAME`, `mat:NAME` or `safetensors:NAME` reads from a file.
pub(super) fn array(path: &Path, format: &str) -> Option<ArrayD<f64>> {
    let (format, name) = format.split_once(':')?;
    let bytes = read(path).ok()?;
    match format {
        "safetensors" => safetensors_array(&bytes, path, name).ok(),
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
