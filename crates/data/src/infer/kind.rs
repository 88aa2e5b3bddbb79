//! What labels are, by their values.

use std::collections::BTreeSet;
use std::path::Path;

use ndarray::ArrayD;

use super::series::{Family, Series};
use super::values::{Counts, unit_share};
use crate::decode::{IndexOrColour, mat_variables, read_npy, read_palette_png};
use crate::read_image;

/// Files of a series that are looked at.
const SAMPLES: usize = 64;
/// Most values or colours that classes have.
const MOST_CLASSES: usize = 64;
/// Boundaries cover less than this share of an image.
const THIN: f64 = 0.12;
/// Most numbers of arrays that are counted.
const MOST_NUMBERS: usize = 4_000_000;

/// The kind of a task and the keys of its manifest that go with it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) kind: &'static str,
    pub(super) format: &'static str,
    /// Names of the classes.
    pub(super) classes: Vec<String>,
    /// Whether a file gave these names.
    pub(super) has_names: bool,
    /// Values without label.
    pub(super) ignore: Vec<u32>,
    pub(super) palette: Vec<[u8; 3]>,
    /// More lines of the manifest.
    pub(super) keys: Vec<String>,
    /// What its owner should know.
    pub(super) notes: Vec<String>,
}

impl Found {
    fn new(kind: &'static str, format: &'static str) -> Self {
        Self { kind, format, ..Self::default() }
    }

    fn with(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    fn noting(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

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

/// The kind of task that the files of `series` are labels of, or why it is not clear.
pub(super) fn kind_of(folder: &Path, series: &Series) -> Result<Found, String> {
    match series.family {
        Family::Photo => {
            Err("JPEG changes values, so that no labels are read from it: save them as \
                              PNG"
            .to_owned())
        }
        Family::Mat => matlab(folder, series),
        Family::Npy => array(folder, series),
        Family::Png => picture(folder, series),
    }
}

fn matlab(folder: &Path, series: &Series) -> Result<Found, String> {
    let first = series.samples(1).next().map(|path| mat_variables(&folder.join(path)));
    let names = first.ok_or("no file")?.map_err(|error| error.to_string())?;
    // As BSDS500 stores the boundaries of several annotators.
    if names.iter().any(|name| name == "groundTruth") {
        return Ok(Found::new("edge", "mat_boundaries"));
    }
    let names = names.join(", ");
    Err(format!("a MATLAB file: say its variable by hand (format = \"mat:NAME\"), found [{names}]"))
}

fn array(folder: &Path, series: &Series) -> Result<Found, String> {
    let mut reasons = Vec::new();
    let mut read = |path: std::path::PathBuf| {
        read_npy(&folder.join(path)).map_err(|error| reasons.push(error.to_string())).ok()
    };
    let arrays: Vec<ArrayD<f64>> = series.samples(8).filter_map(&mut read).collect();
    let first = arrays.first().ok_or_else(|| reasons.join("; "))?;
    match first.shape() {
        [_, _, 3] => return Ok(Found::new("normals", "npy")),
        [_, _] | [_, _, 1] => {}
        shape => return Err(format!("arrays of shape {shape:?}")),
    }
    let whole = arrays.iter().flatten().all(|v| v.fract() == 0.0 && (0.0..=65535.0).contains(v));
    let mut counts = Counts::default();
    if whole {
        counts.add(arrays.iter().flatten().take(MOST_NUMBERS).map(|v| *v as u32));
    }
    match whole && counts.len() <= MOST_CLASSES {
        true => Ok(numbered(&counts, series, "npy", false)),
        false => Ok(Found::new("depth", "npy").with("scale = 1.0")),
    }
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
        (true, true) => Err(format!("no file can be read: {}", reasons.join("; "))),
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
        return soft(values, top, series);
    }
    if many {
        return Found::new("sal", "index_png")
            .with("threshold = 127.5")
            .noting("many grey values: taken for a mask, present above 127.5");
    }
    numbered(values, series, "index_png", all_seen)
}

/// A mask whose borders were softened.
fn soft(values: &Counts<u32>, top: u32, series: &Series) -> Found {
    let kind = if is_edge(values, series) { "edge" } else { "sal" };
    let between = values.len() - 2;
    let half = f64::from(top) / 2.0;
    Found::new(kind, "index_png").with(format!("threshold = {half:?}")).noting(format!(
        "a mask of 0 and {top} with {between} values between, as softened borders have: present \
         above {half}"
    ))
}

fn is_edge(values: &Counts<u32>, series: &Series) -> bool {
    let name = series.word().unwrap_or_default();
    values.share(|value| value > 0) < THIN
        || ["edge", "bound", "contour"].iter().any(|word| name.contains(word))
}

/// Maps of few numbers: two of them are present or not, more are classes.
fn numbered(values: &Counts<u32>, series: &Series, format: &'static str, all_seen: bool) -> Found {
    let name = series.word().unwrap_or_default();
    let binary = [&[0, 1][..], &[0, 255], &[1], &[0]];
    if binary.iter().any(|known| values.values().eq(known.iter().copied())) {
        return Found::new(if is_edge(values, series) { "edge" } else { "sal" }, format);
    }
    let ignore: Vec<u32> = values.values().filter(|&value| value == 255).collect();
    let kind = if name.contains("part") { "human_parts" } else { "semseg" };
    if all_seen && values.has_gaps() {
        return sparse(values, Found { ignore, ..Found::new(kind, format) });
    }
    let top = values.values().filter(|&value| value != 255).max();
    let classes = top.map_or(1, |top| top as usize + 1).min(255);
    Found { classes: numbers(0..classes), ignore, ..Found::new(kind, format) }
}

/// Classes whose numbers have gaps: each of those that were seen.
fn sparse(values: &Counts<u32>, found: Found) -> Found {
    let seen: Vec<u32> = values.values().filter(|&value| value != 255).collect();
    let pairs = seen.iter().enumerate().map(|(class, value)| format!("[{value}, {class}]"));
    let pairs = pairs.collect::<Vec<_>>().join(", ");
    let classes = numbers(seen.iter().map(|&value| value as usize));
    Found { classes, ..found }.with(format!("map = [{pairs}]")).noting(format!(
        "only the stored values {seen:?} were seen: a value that `map` does not list is an error; \
         add it, or say `map_others = 255`"
    ))
}

fn numbers(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("class {number}")).collect()
}
