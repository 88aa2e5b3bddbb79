//! Every parser of foreign bytes, for `benches/fuzz`: no bytes make one panic or take more memory
//! than they explain. What is read or why not does not matter there.

use std::path::Path;

use crate::folder::Manifest;
use crate::{coco, decode, packed};

/// NumPy arrays.
pub fn npy(bytes: &[u8]) {
    let _ = decode::npy::array(bytes);
}

/// MATLAB v5 files; their numbers are turned into arrays.
pub fn mat(bytes: &[u8]) {
    if let Ok(value) = decode::mat::variable(bytes, "groundTruth") {
        arrays(&value);
    }
}

fn arrays(value: &decode::Value) {
    match value {
        decode::Value::Numbers(numbers) => drop(numbers.array()),
        decode::Value::Cell(parts) => parts.iter().for_each(arrays),
        decode::Value::Struct(fields) => fields.values().flatten().for_each(arrays),
        decode::Value::Text(_) | decode::Value::Other(_) => {}
    }
}

/// HDF5 files, MATLAB's v7.3 among them: arrays by name, and the rows of all.
pub fn hdf5(bytes: &[u8]) {
    for name in ["dataset", "images", "depths"] {
        let _ = decode::hdf5::array(bytes, name);
    }
    packed::fuzz::hdf5(bytes);
}

/// idx files, plain and packed.
pub fn idx(bytes: &[u8]) {
    let _ = decode::idx::images(bytes);
    let _ = decode::idx::labels(bytes);
}

/// PNG as index maps and as colours.
pub fn label_png(bytes: &[u8]) {
    let _ = decode::png::index(bytes);
    let _ = decode::png::colour(bytes);
}

/// Photographs of every format.
pub fn image(bytes: &[u8]) {
    if let Some((_, format)) = decode::other::format(bytes) {
        let _ = decode::other::rgb(bytes, format);
    }
    let _ = decode::jpeg::rgb(bytes);
    let _ = decode::png::rgb(bytes);
}

/// COCO's JSON, its index and its masks, on images of up to a million pixels.
pub fn coco(bytes: &[u8]) {
    let Ok(file) = coco::CocoFile::parse(bytes) else { return };
    let sizes = file.images.iter().map(|image| [image.height, image.width]);
    for size in sizes.filter(is_small).take(4) {
        for annotation in file.annotations.iter().take(16) {
            let masks = annotation.segmentation.iter().flat_map(|shape| shape.masks(size));
            masks.flatten().for_each(|mask| mask.each_pixel(|_, _| {}));
        }
    }
    let _ = packed::fuzz::in_a_file(bytes, ".json", |path| {
        let Ok(index) = coco::CocoIndex::open(path, |categories| {
            Ok(categories.iter().zip(0..).map(|(category, kind)| (category.id, kind)).collect())
        }) else {
            return;
        };
        let name = index.any_name();
        if index.about(name).is_some_and(|(size, _)| is_small(&size)) {
            let _ = index.each_pixel(name, |_, _, _| {});
        }
    });
}

fn is_small(size: &[usize; 2]) -> bool {
    size[0].saturating_mul(size[1]) <= 1_000_000
}

/// Members of tar shards.
pub fn webdataset(bytes: &[u8]) {
    packed::fuzz::webdataset(bytes);
}

/// Parquet files and their directories.
pub fn parquet(bytes: &[u8]) {
    packed::fuzz::parquet(bytes);
}

/// Arrow's streams and files.
pub fn arrow(bytes: &[u8]) {
    packed::fuzz::arrow(bytes);
}

/// Numbers as EXR, PFM, TIFF and safetensors.
pub fn numbers(bytes: &[u8]) {
    let _ = decode::safetensors::array(bytes, "depth");
    let _ = decode::safetensors::argmax(bytes, "depth");
    let _ = decode::exr::array(bytes);
    let _ = decode::pfm::array(bytes);
    let _ = decode::tiff::array(bytes);
}

/// Manifests of data sets.
pub fn manifest(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Manifest::parse(Path::new("fuzz"), text);
    }
}
