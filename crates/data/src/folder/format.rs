//! How a label file stores its label.

use std::borrow::Cow;
use std::path::Path;

use ndarray::{Array2, Array3, ArrayD, Axis, Ix2, Ix3};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::parts::{self, Part};
use crate::decode::{Index, IndexOrColour, Value};
use crate::decode::{damaged, read_colour_png, read_index_png, read_mat, read_npy};
use crate::decode::{read_palette_png, read_text};
use crate::{Result, TaskKind};

/// Where a task's labels are, by the name that manifests use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Format {
    /// `path`: the expanded label pattern is the name of the class.
    Path,
    /// `index`: the expanded label pattern is the number of the class.
    Index,
    /// `idx`: one file with the numbers of the classes of all images.
    Idx,
    /// One file for each image.
    File(FileFormat),
}

/// How a label file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// `index_png`: one number per pixel, grey value or palette index.
    IndexPng,
    /// `palette_png`: the same, or colours of the palette, to which some tools turn such files.
    PalettePng,
    /// `rgb_png`: one colour of the palette per pixel.
    RgbPng,
    /// `png16`: one grey value of up to 16 bits per pixel.
    Png16,
    /// `normals_png`: red, green and blue are x, y and z, from -1 at 0 to 1 at the largest value.
    NormalsPng,
    /// `npy`: `[height, width]`, or `[height, width, 3]` for normals.
    Npy,
    /// `mat_boundaries`: `groundTruth{annotator}.Boundaries`, as BSDS500 stores them.
    MatBoundaries,
    /// `mat:NAME`: the numbers of one variable.
    Mat(String),
    /// `mat_parts:CLASS`: the parts of objects of this class, as PASCAL-Part stores them.
    MatParts(i64),
    /// `names_txt`: names of classes, one a line.
    NamesTxt,
}

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
}

impl From<Index> for Raw {
    fn from(index: Index) -> Self {
        match index {
            Index::Bytes(map) => Self::Bytes(map),
            Index::Words(map) => Self::Grid(map.mapv(f64::from)),
        }
    }
}

/// Names of the formats, those without a parameter.
pub(crate) const FORMATS: [&str; 11] = [
    "index_png",
    "palette_png",
    "rgb_png",
    "png16",
    "normals_png",
    "npy",
    "mat_boundaries",
    "names_txt",
    "path",
    "index",
    "idx",
];

impl JsonSchema for Format {
    fn schema_name() -> Cow<'static, str> {
        "Format".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let plain = FORMATS.iter().map(|name| json!({ "const": name }));
        let with_a_name = ["mat:.+", "mat_parts:[0-9]+"];
        let with_a_name = with_a_name.map(|form| json!({ "type": "string", "pattern": form }));
        json_schema!({ "anyOf": plain.chain(with_a_name).collect::<Vec<_>>() })
    }
}

impl From<Format> for String {
    fn from(format: Format) -> Self {
        format.name()
    }
}

impl TryFrom<String> for Format {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        Ok(Self::File(match name.as_str() {
            "path" => return Ok(Self::Path),
            "index" => return Ok(Self::Index),
            "idx" => return Ok(Self::Idx),
            "index_png" => FileFormat::IndexPng,
            "palette_png" => FileFormat::PalettePng,
            "rgb_png" => FileFormat::RgbPng,
            "png16" => FileFormat::Png16,
            "normals_png" => FileFormat::NormalsPng,
            "npy" => FileFormat::Npy,
            "mat_boundaries" => FileFormat::MatBoundaries,
            "names_txt" => FileFormat::NamesTxt,
            other => return parameterised(other).map(Self::File),
        }))
    }
}

/// Formats whose names go on behind a colon.
fn parameterised(name: &str) -> std::result::Result<FileFormat, String> {
    let found = match name.split_once(':') {
        Some(("mat", variable)) if !variable.is_empty() => {
            Some(FileFormat::Mat(variable.to_owned()))
        }
        Some(("mat_parts", class)) => class.parse().ok().map(FileFormat::MatParts),
        _ => None,
    };
    found.ok_or_else(|| {
        let names = FORMATS.join(", ");
        format!("one of the formats {names}, mat:VARIABLE and mat_parts:CLASS")
    })
}

impl Format {
    /// Whether labels of this kind can be stored so.
    pub(crate) fn suits(&self, kind: TaskKind) -> bool {
        match self {
            Self::Path | Self::Index | Self::Idx => kind == TaskKind::Classification,
            Self::File(format) => format.suits(kind),
        }
    }

    /// The name that manifests use.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Path => "path".to_owned(),
            Self::Index => "index".to_owned(),
            Self::Idx => "idx".to_owned(),
            Self::File(format) => format.name(),
        }
    }
}

impl FileFormat {
    fn name(&self) -> String {
        let name = match self {
            Self::IndexPng => "index_png",
            Self::PalettePng => "palette_png",
            Self::RgbPng => "rgb_png",
            Self::Png16 => "png16",
            Self::NormalsPng => "normals_png",
            Self::Npy => "npy",
            Self::MatBoundaries => "mat_boundaries",
            Self::NamesTxt => "names_txt",
            Self::Mat(variable) => return format!("mat:{variable}"),
            Self::MatParts(class) => return format!("mat_parts:{class}"),
        };
        name.to_owned()
    }

    fn suits(&self, kind: TaskKind) -> bool {
        use TaskKind::{Classification, Depth, Edge, HumanParts, Normals, Sal, Semseg, Tags};
        match self {
            Self::IndexPng => matches!(kind, Semseg | HumanParts | Sal | Edge),
            Self::PalettePng => matches!(kind, Semseg | HumanParts | Sal | Edge),
            Self::MatParts(_) => matches!(kind, HumanParts),
            Self::RgbPng => matches!(kind, Semseg | HumanParts),
            Self::Png16 => matches!(kind, Depth),
            Self::NormalsPng => matches!(kind, Normals),
            Self::Npy | Self::Mat(_) => !matches!(kind, Classification | Tags),
            Self::MatBoundaries => matches!(kind, Edge),
            Self::NamesTxt => matches!(kind, Classification | Tags),
        }
    }

    /// Reads a label file.
    pub(crate) fn read(&self, path: &Path) -> Result<Raw> {
        match self {
            Self::IndexPng | Self::Png16 => Ok(read_index_png(path)?.into()),
            Self::PalettePng => Ok(match read_palette_png(path)? {
                IndexOrColour::Index(map) => map.into(),
                IndexOrColour::Colour(map) => Raw::Colours(map),
            }),
            Self::RgbPng => Ok(Raw::Colours(read_colour_png(path)?.0)),
            Self::NormalsPng => {
                let (colours, largest) = read_colour_png(path)?;
                let largest = f64::from(largest);
                Ok(Raw::Vectors(colours.mapv(|v| 2.0 * f64::from(v) / largest - 1.0)))
            }
            Self::Npy => map(path, "NumPy array", read_npy(path)?),
            Self::Mat(variable) => {
                let array = read_mat(path, variable)?.numbers();
                let array = array.map_err(|reason| damaged(path, "MATLAB v5 file", reason))?;
                map(path, "MATLAB v5 file", array)
            }
            Self::MatBoundaries => {
                let maps = boundaries(&read_mat(path, "groundTruth")?);
                maps.map(Raw::Maps).map_err(|reason| damaged(path, "MATLAB v5 file", reason))
            }
            Self::MatParts(class) => {
                let parts = parts::parts(&read_mat(path, "anno")?, *class);
                parts.map(Raw::Parts).map_err(|reason| damaged(path, "MATLAB v5 file", reason))
            }
            Self::NamesTxt => {
                let text = read_text(path)?;
                let names = text.lines().map(str::trim).filter(|name| !name.is_empty());
                Ok(Raw::Names(names.map(str::to_owned).collect()))
            }
        }
    }
}

fn map(path: &Path, format: &'static str, array: ArrayD<f64>) -> Result<Raw> {
    let shape = array.shape().to_vec();
    let raw = match shape.as_slice() {
        [_, _] => array.into_dimensionality::<Ix2>().map(Raw::Grid),
        [_, _, 1] => array.index_axis_move(Axis(2), 0).into_dimensionality::<Ix2>().map(Raw::Grid),
        _ => array.into_dimensionality::<Ix3>().map(Raw::Vectors),
    };
    let expected = "expected [height, width] or [height, width, 3]";
    raw.map_err(|_| damaged(path, format, format!("shape {shape:?}, {expected}")))
}

/// The boundary maps in a cell with one structure per annotator.
fn boundaries(truth: &Value) -> std::result::Result<Vec<Array2<f64>>, String> {
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
