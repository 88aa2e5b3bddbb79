//! How a label file stores its label.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::index_file::IndexFile;
use super::index_formats::index_file;
use super::parts;
use super::raw::{Raw, boundaries, indices, lines, map};
use crate::decode::{IndexOrColour, colour_png, damaged, decode_text, exr_array, hdf5_array};
use crate::decode::{
    index_png, is_matlab, mat_variable, npy_array, palette_png, pfm_array, read, tiff_array,
};
use crate::decode::{safetensors_argmax, safetensors_array};
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
    /// One file with the labels of all images of a split.
    Indexed(&'static IndexFile),
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
    /// `exr`: the same of an OpenEXR image.
    Exr,
    /// `pfm`: the same of a portable float map.
    Pfm,
    /// `tiff`: the same of a TIFF of 8, 16 or 32 bits.
    Tiff,
    /// `mat_boundaries`: `groundTruth{annotator}.Boundaries`, as BSDS500 stores them.
    MatBoundaries,
    /// `mat:NAME`: the numbers of one variable.
    Mat(String),
    /// `hdf5:NAME`: the numbers of one array of an HDF5 file.
    Hdf5(String),
    /// `mat_parts:CLASS`: the parts of objects of this class, as PASCAL-Part stores them.
    MatParts(i64),
    /// `safetensors:NAME`: one or three maps of a tensor, as `predict --raw` writes them.
    Safetensors(String),
    /// `safetensors_argmax:NAME`: the place of the largest of the maps of a tensor.
    SafetensorsArgmax(String),
    /// `text`: what is said of the image.
    Text,
    /// `names_txt`: names of classes, one a line.
    NamesTxt,
    /// `index_txt`: numbers of classes from 0, one a line.
    IndexTxt,
}

/// Names of the formats, those without a parameter.
pub(crate) const FORMATS: [&str; 17] = [
    "index_png",
    "palette_png",
    "rgb_png",
    "png16",
    "normals_png",
    "npy",
    "exr",
    "pfm",
    "tiff",
    "mat_boundaries",
    "text",
    "names_txt",
    "index_txt",
    "path",
    "index",
    "idx",
    "coco",
];

impl JsonSchema for Format {
    fn schema_name() -> Cow<'static, str> {
        "Format".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let plain = FORMATS.iter().map(|name| json!({ "const": name }));
        let with_a_name =
            ["mat:.+", "hdf5:.+", "mat_parts:[0-9]+", "safetensors:.+", "safetensors_argmax:.+"];
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
            "exr" => FileFormat::Exr,
            "pfm" => FileFormat::Pfm,
            "tiff" => FileFormat::Tiff,
            "mat_boundaries" => FileFormat::MatBoundaries,
            "text" => FileFormat::Text,
            "names_txt" => FileFormat::NamesTxt,
            "index_txt" => FileFormat::IndexTxt,
            other => match index_file(other) {
                Some(found) => return Ok(Self::Indexed(found)),
                None => return parameterised(other).map(Self::File),
            },
        }))
    }
}

/// Formats whose names go on behind a colon.
fn parameterised(name: &str) -> std::result::Result<FileFormat, String> {
    let found = match name.split_once(':') {
        Some(("mat", variable)) if !variable.is_empty() => {
            Some(FileFormat::Mat(variable.to_owned()))
        }
        Some(("hdf5", name)) if !name.is_empty() => Some(FileFormat::Hdf5(name.to_owned())),
        Some(("safetensors", name)) if !name.is_empty() => {
            Some(FileFormat::Safetensors(name.to_owned()))
        }
        Some(("safetensors_argmax", name)) if !name.is_empty() => {
            Some(FileFormat::SafetensorsArgmax(name.to_owned()))
        }
        Some(("mat_parts", class)) => class.parse().ok().map(FileFormat::MatParts),
        _ => None,
    };
    found.ok_or_else(|| {
        let names = FORMATS.join(", ");
        format!(
            "one of the formats {names}, mat:VARIABLE, hdf5:NAME, mat_parts:CLASS, safetensors:NAME \
             and safetensors_argmax:NAME"
        )
    })
}

impl Format {
    /// Whether labels of this kind can be stored so.
    pub(crate) fn suits(&self, kind: TaskKind) -> bool {
        match self {
            Self::Path | Self::Index | Self::Idx => kind == TaskKind::Classification,
            Self::Indexed(format) => format.kinds.contains(&kind),
            Self::File(format) => format.suits(kind),
        }
    }

    /// The name that manifests use.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Path => "path".to_owned(),
            Self::Index => "index".to_owned(),
            Self::Idx => "idx".to_owned(),
            Self::Indexed(format) => format.name.to_owned(),
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
            Self::Exr => "exr",
            Self::Pfm => "pfm",
            Self::Tiff => "tiff",
            Self::MatBoundaries => "mat_boundaries",
            Self::Text => "text",
            Self::NamesTxt => "names_txt",
            Self::IndexTxt => "index_txt",
            Self::Mat(variable) => return format!("mat:{variable}"),
            Self::Hdf5(name) => return format!("hdf5:{name}"),
            Self::MatParts(class) => return format!("mat_parts:{class}"),
            Self::Safetensors(name) => return format!("safetensors:{name}"),
            Self::SafetensorsArgmax(name) => return format!("safetensors_argmax:{name}"),
        };
        name.to_owned()
    }

    fn suits(&self, kind: TaskKind) -> bool {
        use TaskKind::{Classification, Depth, Edge, HumanParts, ModifiedRetrieval, Normals};
        use TaskKind::{Retrieval, Sal, Semseg, Tags};
        match self {
            Self::IndexPng => matches!(kind, Semseg | HumanParts | Sal | Edge),
            Self::PalettePng => matches!(kind, Semseg | HumanParts | Sal | Edge),
            Self::MatParts(_) => matches!(kind, HumanParts),
            Self::RgbPng => matches!(kind, Semseg | HumanParts),
            Self::Png16 => matches!(kind, Depth),
            Self::NormalsPng => matches!(kind, Normals),
            Self::Npy | Self::Exr | Self::Pfm | Self::Tiff | Self::Mat(_) | Self::Hdf5(_) => {
                !matches!(kind, Classification | Tags | Retrieval | ModifiedRetrieval)
            }
            Self::Text => matches!(kind, Retrieval),
            Self::Safetensors(_) => {
                matches!(kind, Semseg | HumanParts | Depth | Normals | Sal | Edge)
            }
            Self::SafetensorsArgmax(_) => matches!(kind, Semseg | HumanParts),
            Self::MatBoundaries => matches!(kind, Edge),
            Self::NamesTxt | Self::IndexTxt => matches!(kind, Classification | Tags),
        }
    }

    /// Reads a label file.
    pub(crate) fn read(&self, path: &Path) -> Result<Raw> {
        self.parse(&read(path)?, path)
    }

    /// Reads the bytes of a label, which errors call `path`.
    pub(crate) fn parse(&self, bytes: &[u8], path: &Path) -> Result<Raw> {
        match self {
            Self::IndexPng | Self::Png16 => Ok(index_png(bytes, path)?.into()),
            Self::PalettePng => Ok(match palette_png(bytes, path)? {
                IndexOrColour::Index(map) => map.into(),
                IndexOrColour::Colour(map) => Raw::Colours(map),
            }),
            Self::RgbPng => Ok(Raw::Colours(colour_png(bytes, path)?.0)),
            Self::NormalsPng => {
                let (colours, largest) = colour_png(bytes, path)?;
                let largest = f64::from(largest);
                Ok(Raw::Vectors(colours.mapv(|v| 2.0 * f64::from(v) / largest - 1.0)))
            }
            Self::Npy => map(path, "NumPy array", npy_array(bytes, path)?),
            Self::Exr => map(path, "EXR image", exr_array(bytes, path)?),
            Self::Pfm => map(path, "PFM image", pfm_array(bytes, path)?),
            Self::Tiff => map(path, "TIFF image", tiff_array(bytes, path)?),
            Self::Hdf5(name) => map(path, "HDF5 file", hdf5_array(bytes, path, name)?),
            Self::Mat(variable) if is_matlab(bytes) => {
                map(path, "MATLAB v7.3 file", hdf5_array(bytes, path, variable)?)
            }
            Self::Mat(variable) => {
                let array = mat_variable(bytes, path, variable)?.numbers();
                let array = array.map_err(|reason| damaged(path, "MATLAB v5 file", reason))?;
                map(path, "MATLAB v5 file", array)
            }
            Self::Safetensors(name) => {
                map(path, "safetensors file", safetensors_array(bytes, path, name)?)
            }
            Self::SafetensorsArgmax(name) => Ok(safetensors_argmax(bytes, path, name)?.into()),
            Self::MatBoundaries => {
                let maps = boundaries(&mat_variable(bytes, path, "groundTruth")?);
                maps.map(Raw::Maps).map_err(|reason| damaged(path, "MATLAB v5 file", reason))
            }
            Self::MatParts(class) => {
                let parts = parts::parts(&mat_variable(bytes, path, "anno")?, *class);
                parts.map(Raw::Parts).map_err(|reason| damaged(path, "MATLAB v5 file", reason))
            }
            Self::Text => Ok(Raw::Text(decode_text(bytes, path)?.trim().to_owned())),
            Self::NamesTxt => Ok(Raw::Names(lines(bytes, path)?)),
            Self::IndexTxt => indices(bytes, path),
        }
    }
}
