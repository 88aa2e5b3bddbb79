//! What label files hold before it has a meaning.

use std::path::Path;

use ndarray::{Array2, Array3, ArrayD, Axis, Ix2, Ix3};

use super::parts::Part;
use crate::Result;
use crate::decode::{Index, Value, damaged, decode_text};

/// What a label file holds, not yet given a meaning.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Raw {
    /// One number per pixel.
    Grid(Array2<f64>),
    /// One number per pixel, 0 to 255.
    Bytes(Array2<u8>),
    /// Three numbers per pixel.
    Vectors(Array3<f64>),
    /// One colour per pixel.
    Colours(Array3<u16>),
    /// One map per annotator.
    Maps(Vec<Array2<f64>>),
    /// Named masks, later over earlier ones.
    Parts(Vec<Part>),
    /// Names of classes.
    Names(Vec<String>),
    /// Numbers of classes.
    Indices(Vec<usize>),
    /// What is said of the image.
    Text(String),
    /// What says that there is no label.
    Absent,
}

impl From<Index> for Raw {
    fn from(index: Index) -> Self {
        match index {
            Index::Bytes(map) => Self::Bytes(map),
            Index::Words(map) => Self::Grid(map.mapv(f64::from)),
        }
    }
}

/// The lines of a text that are not empty.
pub(super) fn lines(bytes: &[u8], path: &Path) -> Result<Vec<String>> {
    let text = decode_text(bytes, path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

/// Numbers of classes, one a line; `-1` alone is no label, as `datasets` writes it.
pub(super) fn indices(bytes: &[u8], path: &Path) -> Result<Raw> {
    let lines = lines(bytes, path)?;
    if lines == ["-1"] {
        return Ok(Raw::Absent);
    }
    let number = |line: String| {
        let wrong = || damaged(path, "class number", format!("found {line:?}"));
        line.parse::<usize>().map_err(|_| wrong())
    };
    lines.into_iter().map(number).collect::<Result<_>>().map(Raw::Indices)
}

/// An array as one or three numbers per pixel.
pub(super) fn map(path: &Path, format: &'static str, array: ArrayD<f64>) -> Result<Raw> {
    let shape = array.shape().to_vec();
    let raw = match shape.as_slice() {
        [_, _] => array.into_dimensionality::<Ix2>().map(Raw::Grid),
        [_, _, 1] => array.index_axis_move(Axis(2), 0).into_dimensionality::<Ix2>().map(Raw::Grid),
        // One map with its channel first, as PyTorch's tensors have it: no photograph is one high.
        [1, _, _] => array.index_axis_move(Axis(0), 0).into_dimensionality::<Ix2>().map(Raw::Grid),
        _ => array.into_dimensionality::<Ix3>().map(Raw::Vectors),
    };
    let expected = "expected [height, width] or [height, width, 3]";
    raw.map_err(|_| damaged(path, format, format!("shape {shape:?}, {expected}")))
}

/// The boundary maps in a cell with one structure per annotator.
pub(super) fn boundaries(truth: &Value) -> std::result::Result<Vec<Array2<f64>>, String> {
    let Value::Cell(annotators) = truth else { return Err("groundTruth is not a cell".to_owned()) };
    let one = |annotator: &Value| {
        let Value::Struct(fields) = annotator else {
            return Err("groundTruth holds more than structures".to_owned());
        };
        let field = fields.get("Boundaries").and_then(|values| values.first());
        let map = field.ok_or("no field Boundaries")?.numbers()?;
        map.into_dimensionality::<Ix2>().map_err(|_| "Boundaries is not a map".to_owned())
    };
    annotators.iter().map(one).collect()
}
