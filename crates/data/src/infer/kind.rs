//! What labels are, by their values.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::arrays::{of_arrays, of_files, several};
use super::found::Found;
use super::numbered::{MOST_CLASSES, is_edge, numbered, numbers};
use super::series::{Family, Series};
use super::stored::is_matlab_hdf5;
use super::tensors::of_tensors;
use super::values::{Counts, unit_share};
use crate::decode::{IndexOrColour, mat_variables, read_palette_png};
use crate::read_image;

/// Files of a series that are looked at.
const SAMPLES: usize = 64;

/// How much a series looks like photographs by its colours, or why it is none.
pub(super) fn looks_like_photographs(folder: &Path, series: &Series) -> Result<i32, String> {
    if !matches!(series.family, Family::Photo | Family::Png) {
        return Err("no format of photographs".to_owned());
    }
    let mut reason = None;
    let image = series.samples(8).find_map(|path| match read_image(&folder.join(path)) {
        Ok(image) => Some(image),
        Err(error) => {
            reason.get_or_insert(error.to_string());
            None
        }
    });
    let image = image.ok_or_else(|| reason.unwrap_or_else(|| "no file".to_owned()))?;
    let mut colours: BTreeSet<[u8; 3]> = BTreeSet::new();
    colours.extend(image.rows().into_iter().map(|pixel| [pixel[0], pixel[1], pixel[2]]));
    let share = unit_share(&image.mapv(u16::from));
    Ok(if colours.len() > MOST_CLASSES && share < 0.9 { 2 } else { -3 })
}

/// The kinds of tasks that the files of `series` are labels of, or why it is not clear: several
/// where each file has several arrays.
pub(super) fn kinds_of(folder: &Path, series: &Series) -> Result<Vec<Found>, String> {
    let is_hdf5 = |path: PathBuf| is_matlab_hdf5(&folder.join(path));
    let found = match series.family {
        Family::Hdf5 => return of_arrays(folder, series, "hdf5"),
        Family::Safetensors => return of_tensors(folder, series),
        Family::Mat if series.samples(1).any(is_hdf5) => return of_arrays(folder, series, "mat"),
        Family::Mat => return matlab(folder, series),
        Family::Photo if series.is_tiff() => of_files(folder, series),
        Family::Photo => Err(no_labels(series)),
        Family::Array => of_files(folder, series),
        Family::Png => picture(folder, series),
    };
    found.map(|found| vec![found])
}

/// Why files that may be photographs are no labels.
fn no_labels(series: &Series) -> String {
    let ending = series.files.first().map(|file| file.ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some(ending @ ("bmp" | "webp")) => {
            format!("labels are not read from .{ending}: save them as PNG")
        }
        _ => "JPEG changes values, so that no labels are read from it: save them as PNG".to_owned(),
    }
}

fn matlab(folder: &Path, series: &Series) -> Result<Vec<Found>, String> {
    let first = series.samples(1).next().map(|path| mat_variables(&folder.join(path)));
    let names = first.ok_or("no file")?.map_err(|error| error.to_string())?;
    // As BSDS500 stores the boundaries of several annotators.
    if names.iter().any(|name| name == "groundTruth") {
        return Ok(vec![Found::new("edge", "mat_boundaries")]);
    }
    let names = names.join(", ");
    of_arrays(folder, series, "mat").map_err(|reason| {
        format!(
            "a MATLAB file: say its variable by hand (format = \"mat:NAME\"), found [{names}]: \
             {reason}"
        )
    })
}

fn picture(folder: &Path, series: &Series) -> Result<Found, String> {
    let (mut values, mut colours) = (Counts::default(), Counts::default());
    let (mut directions, mut read, mut last_new, mut reasons) = (0.0_f64, 0_u32, 0, Vec::new());
    for path in series.samples(SAMPLES) {
        match read_palette_png(&folder.join(path)) {
            Ok(IndexOrColour::Index(map)) => {
                let before = values.len();
                values.add(map.words().iter().map(|&v| u32::from(v)));
                last_new = if values.len() > before { read } else { last_new };
            }
            Ok(IndexOrColour::Colour(map)) => {
                colours.add(map.rows().into_iter().map(|p| [0, 1, 2].map(|c| p[c] as u8)));
                directions += unit_share(&map);
            }
            Err(error) => {
                reasons.push(error.to_string());
                continue;
            }
        }
        read += 1;
    }
    match (values.is_empty(), colours.is_empty()) {
        (true, true) => Err(format!("no file can be read: {}", several(&reasons))),
        (false, false) => Err("some files have colours, others numbers".to_owned()),
        // Where the first file has every value of the others, all were seen.
        (false, true) => Ok(grey(&values, series, read >= 4 && last_new == 0)),
        (true, false) if directions / f64::from(read) > 0.9 => {
            Ok(Found::new("normals", "normals_png"))
        }
        (true, false) => coloured(&colours),
    }
}

fn coloured(colours: &Counts<[u8; 3]>) -> Result<Found, String> {
    let all = colours.len();
    if let Some(pure) = colours.pure().filter(|pure| pure.len() <= MOST_CLASSES) {
        let few = all - pure.len();
        return Ok(of_palette(pure).with("map_others = 255 # other colours have no label").noting(
            format!("{few} rare colours, such as those of softened borders, have no label"),
        ));
    }
    match all <= MOST_CLASSES {
        true => Ok(of_palette(colours.values().collect())),
        false => Err(format!("{all} colours, too many for classes")),
    }
}

fn of_palette(palette: Vec<[u8; 3]>) -> Found {
    Found { classes: numbers(0..palette.len()), palette, ..Found::new("semseg", "rgb_png") }
}

fn grey(values: &Counts<u32>, series: &Series, all_seen: bool) -> Found {
    let name = series.word().unwrap_or_default();
    let largest = values.values().max().unwrap_or(0);
    let many = values.len() > MOST_CLASSES;
    if largest > 255 || (many && name.contains("depth")) {
        return Found::new("depth", "png16")
            .with("scale = 0.001 # metres per stored unit: check this");
    }
    if let Some(top) = values.soft_mask() {
        return soft(values, top, &name);
    }
    if many {
        return Found::new("sal", "index_png")
            .with("threshold = 127.5")
            .noting("many grey values: taken for a mask, present above 127.5");
    }
    numbered(values, &name, "index_png", all_seen)
}

/// A mask whose borders were softened.
fn soft(values: &Counts<u32>, top: u32, name: &str) -> Found {
    let kind = if is_edge(values, name) { "edge" } else { "sal" };
    let between = values.len() - 2;
    let half = f64::from(top) / 2.0;
    Found::new(kind, "index_png").with(format!("threshold = {half:?}")).noting(format!(
        "a mask of 0 and {top} with {between} values between, as softened borders have: present \
         above {half}"
    ))
}
