//! What labels are, by their values.

use std::collections::BTreeSet;
use std::path::Path;

use ndarray::{Array3, ArrayD};

use super::series::{Family, Series};
use crate::decode::{IndexOrColour, read_npy, read_palette_png};
use crate::read_image;

/// Files of a series that are looked at.
const SAMPLES: usize = 8;
/// Most values or colours that classes have.
const MOST_CLASSES: usize = 64;
/// Boundaries cover less than this share of an image.
const THIN: f64 = 0.12;

/// The kind of a task and the keys of its manifest that go with it.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) format: &'static str,
    /// Number of classes.
    pub(super) classes: usize,
    /// Values without label.
    pub(super) ignore: Vec<u32>,
    pub(super) palette: Vec<[u8; 3]>,
    /// Further lines of the manifest.
    pub(super) keys: Vec<String>,
}

impl Found {
    fn new(kind: &'static str, format: &'static str) -> Self {
        let (ignore, palette, keys) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, format, classes: 0, ignore, palette, keys }
    }

    fn with(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }
}

/// 2 for colours as photographs have them: many.
pub(super) fn looks_like_photographs(folder: &Path, series: &Series) -> i32 {
    if !matches!(series.family, Family::Photo | Family::Png) {
        return -10;
    }
    let image = series.samples(1).find_map(|path| read_image(&folder.join(path)).ok());
    let Some(image) = image else { return -10 };
    let mut colours: BTreeSet<[u8; 3]> = BTreeSet::new();
    let pixels = image.rows().into_iter().map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    colours.extend(pixels);
    let share = unit_share(&image.mapv(u16::from));
    if colours.len() > MOST_CLASSES && share < 0.9 { 2 } else { -3 }
}

/// The kind of task that the files of `series` are labels of, or why it is not clear.
pub(super) fn kind_of(folder: &Path, series: &Series) -> Result<Found, String> {
    match series.family {
        Family::Photo => Err("JPEG changes values, so that no labels are stored in it".to_owned()),
        Family::Mat => {
            Err("a MATLAB file: say its variable by hand (format = \"mat:NAME\")".to_owned())
        }
        Family::Npy => array(folder, series),
        Family::Png => picture(folder, series),
    }
}

fn array(folder: &Path, series: &Series) -> Result<Found, String> {
    let arrays: Vec<ArrayD<f64>> =
        series.samples(SAMPLES).filter_map(|path| read_npy(&folder.join(path)).ok()).collect();
    let first = arrays.first().ok_or("no array can be read")?;
    match first.shape() {
        [_, _, 3] => return Ok(Found::new("normals", "npy")),
        [_, _] | [_, _, 1] => {}
        shape => return Err(format!("arrays of shape {shape:?}")),
    }
    let whole = arrays.iter().flatten().all(|v| v.fract() == 0.0 && (0.0..=65535.0).contains(v));
    let values = arrays.iter().flatten().take(4_000_000).map(|v| v.to_bits());
    let values: BTreeSet<u64> = values.collect();
    match whole && values.len() <= MOST_CLASSES {
        true => {
            let values = values.into_iter().map(|bits| f64::from_bits(bits) as u32).collect();
            let share = share(arrays.iter().flatten().map(|v| *v as u32));
            Ok(numbered(&values, share, series, "npy"))
        }
        false => Ok(Found::new("depth", "npy").with("scale = 1.0")),
    }
}

fn picture(folder: &Path, series: &Series) -> Result<Found, String> {
    let (mut values, mut all, mut largest) = (BTreeSet::new(), Vec::new(), 0);
    let mut colours = BTreeSet::new();
    let mut directions = 0.0_f64;
    let mut read = 0;
    for path in series.samples(SAMPLES) {
        match read_palette_png(&folder.join(path)) {
            Ok(IndexOrColour::Index(map)) => {
                let map = map.words();
                values.extend(map.iter().map(|&v| u32::from(v)));
                largest = largest.max(map.iter().copied().max().unwrap_or(0));
                all.extend(map.iter().step_by(7).map(|&v| u32::from(v)));
            }
            Ok(IndexOrColour::Colour(map)) => {
                colours.extend(map.rows().into_iter().map(|p| [0, 1, 2].map(|c| p[c] as u8)));
                directions += unit_share(&map);
            }
            Err(_) => continue,
        }
        read += 1;
    }
    match (values.is_empty(), colours.is_empty()) {
        (true, true) => Err("no file can be read".to_owned()),
        (false, false) => Err("some files have colours, others numbers".to_owned()),
        (false, true) => Ok(grey(&values, &all, series, largest)),
        (true, false) if directions / f64::from(read) > 0.9 => {
            Ok(Found::new("normals", "normals_png"))
        }
        (true, false) if colours.len() <= MOST_CLASSES => {
            let palette: Vec<[u8; 3]> = colours.into_iter().collect();
            Ok(Found { classes: palette.len(), palette, ..Found::new("semseg", "rgb_png") })
        }
        _ => Err(format!("{} colours, too many for classes", colours.len())),
    }
}

fn grey(values: &BTreeSet<u32>, all: &[u32], series: &Series, largest: u16) -> Found {
    let name = series.word().unwrap_or_default();
    if largest > 255 || (values.len() > MOST_CLASSES && name.contains("depth")) {
        return Found::new("depth", "png16")
            .with("scale = 0.001 # metres per stored unit: check this");
    }
    if values.len() > MOST_CLASSES {
        return Found::new("sal", "index_png").with("threshold = 127.5");
    }
    numbered(values, share(all.iter().copied()), series, "index_png")
}

/// Maps of few numbers: two of them are present or not, more are classes.
fn numbered(values: &BTreeSet<u32>, share: f64, series: &Series, format: &'static str) -> Found {
    let name = series.word().unwrap_or_default();
    let binary = [&[0, 1][..], &[0, 255], &[1], &[0]];
    let is_binary = binary.iter().any(|known| values.iter().eq(known.iter()));
    let thin = share < THIN;
    if is_binary && (thin || ["edge", "bound", "contour"].iter().any(|w| name.contains(w))) {
        return Found::new("edge", format);
    }
    if is_binary {
        return Found::new("sal", format);
    }
    let ignore: Vec<u32> = values.iter().copied().filter(|&value| value == 255).collect();
    let classes = values.iter().filter(|&&v| v != 255).max().map_or(1, |&top| top as usize + 1);
    let people = name.contains("part");
    let kind = if people { "human_parts" } else { "semseg" };
    Found { classes: classes.min(255), ignore, ..Found::new(kind, format) }
}

/// Share of values above 0.
fn share(values: impl Iterator<Item = u32>) -> f64 {
    let (on, all) = values.fold((0, 0), |(on, all), v| (on + u64::from(v > 0), all + 1_u64));
    on as f64 / all.max(1) as f64
}

/// Share of pixels whose colours are unit vectors, or grey for none.
fn unit_share(colours: &Array3<u16>) -> f64 {
    let unit = |pixel: ndarray::ArrayView1<u16>| {
        let sum: f64 = pixel.iter().map(|&v| (f64::from(v) / 127.5 - 1.0).powi(2)).sum();
        (0.9..1.1).contains(&sum) || sum < 0.01
    };
    let pixels = colours.len() / 3;
    colours.rows().into_iter().filter(|pixel| unit(*pixel)).count() as f64 / pixels.max(1) as f64
}
