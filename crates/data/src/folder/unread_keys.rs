//! Which keys of a task the chosen formats read: one that nothing reads would be a silent slip.

use toml::{Table, Value};

use super::entry::TaskEntry;
use super::field_error::{FieldError, shown};
use super::format::{FileFormat, Format};
use crate::TaskKind;

/// Every key of `table` that no format of `task` reads, with what to say instead; of the table of
/// another place, every key that its own format does not read.
pub(crate) fn unread(task: &TaskEntry, table: &Table) -> Vec<FieldError> {
    let at = format!("tasks.{}", task.name);
    let others = task.or.iter().filter(|place| place.takes_keys()).map(|place| task.at(place));
    let places: Vec<TaskEntry> = std::iter::once(task.clone()).chain(others).collect();
    let mut found = unread_by(&places, table, &at);
    let tables = table.get("or").and_then(Value::as_array).into_iter().flatten();
    for (number, (place, table)) in (1..).zip(task.or.iter().zip(tables)) {
        let Some(table) = table.as_table() else { continue };
        found.extend(unread_by(&[task.at(place)], table, &format!("{at}.or.{number}")));
    }
    found
}

/// Every key of `table`, which is called `at`, that none of `places`, one at least, reads.
fn unread_by(places: &[TaskEntry], table: &Table, at: &str) -> Vec<FieldError> {
    let wrong = |(key, value): (&String, &Value)| {
        let read = places.iter().any(|place| reads(key, place));
        (!read)
            .then(|| FieldError::new(format!("{at}.{key}"), instead(key, &places[0]), shown(value)))
    };
    table.iter().filter_map(wrong).collect()
}

/// Keys that say how numbers of label files are read.
const OF_FILES: [&str; 16] = [
    "rotate_right",
    "or",
    "ignore",
    "ignore_colors",
    "map",
    "map_others",
    "threshold",
    "outline",
    "scale",
    "offset",
    "disparity",
    "signs",
    "parts",
    "mask",
    "allow_void",
    "categories",
];

fn reads(key: &str, task: &TaskEntry) -> bool {
    use TaskKind::{
        Classification, Depth, Edge, HumanParts, Normals, Retrieval, Sal, Semseg, Tags,
    };
    let file = match &task.format {
        Format::File(file) => Some(file),
        _ => None,
    };
    let grid = file.is_some_and(is_grid);
    let colours = matches!(file, Some(FileFormat::RgbPng | FileFormat::PalettePng));
    let classes = matches!(task.kind, Semseg | HumanParts);
    if let Format::Indexed(format) = &task.format {
        return !OF_FILES.contains(&key) || format.keys.contains(&key);
    }
    match key {
        "categories" => false,
        "ignore" => grid && task.kind != Normals && !(task.kind == Edge && task.region_boundaries),
        "ignore_colors" => colours,
        "map" => classes && grid,
        "map_others" => classes && (grid || colours),
        "threshold" => matches!(task.kind, Sal | Edge) && grid && !task.region_boundaries,
        "outline" => task.kind == Edge && grid,
        "scale" | "offset" | "disparity" | "rotate_right" => task.kind == Depth,
        "signs" => task.kind == Normals,
        "parts" => matches!(file, Some(FileFormat::MatParts(_))),
        "resize" | "mask" | "allow_void" => !matches!(task.kind, Classification | Tags | Retrieval),
        "flip_pairs" => classes,
        _ => true,
    }
}

/// Formats with one number for each pixel.
fn is_grid(format: &FileFormat) -> bool {
    use FileFormat::{Exr, Hdf5, IndexPng, Mat, MatBoundaries, Npy, PalettePng, Pfm, Png16};
    use FileFormat::{Safetensors, SafetensorsArgmax, Tiff};
    matches!(
        format,
        IndexPng
            | PalettePng
            | Png16
            | Npy
            | Exr
            | Pfm
            | Tiff
            | Mat(_)
            | Hdf5(_)
            | MatBoundaries
            | Safetensors(_)
            | SafetensorsArgmax(_)
    )
}

/// What does what an unread key was meant to do.
fn instead(key: &str, task: &TaskEntry) -> String {
    let format = task.format.name();
    let kind = task.kind.name();
    let colours = matches!(task.format, Format::File(FileFormat::RgbPng));
    match key {
        "ignore" if colours => format!("`ignore_colors` beside {format}"),
        "ignore" if task.region_boundaries => "no such key beside `outline`".to_owned(),
        "ignore" => {
            format!("no such key beside {format} of kind {kind}, which reads no stored values")
        }
        "ignore_colors" => format!("`ignore` beside {format}, which stores numbers"),
        "map" if colours => format!(
            "`palette`, whose order is that of the classes, beside {format}; `map_others` is for \
             all other colours"
        ),
        "map" | "map_others" => {
            format!("no such key beside {format} of kind {kind}: it is for semseg and human_parts")
        }
        "threshold" if task.region_boundaries => "no such key beside `outline`".to_owned(),
        "threshold" => format!(
            "kind sal or edge beside it; `map` gives stored values of kind {kind} their classes"
        ),
        "outline" => format!("kind edge and a format of numbers beside it, not {kind} in {format}"),
        "scale" | "offset" | "disparity" | "rotate_right" => {
            format!("kind depth beside it, not {kind}")
        }
        "signs" => format!("kind normals beside it, not {kind}"),
        "categories" => format!("format coco beside it, not {format}"),
        "parts" => format!("format mat_parts beside it, not {format}"),
        _ => format!("no such key beside kind {kind}"),
    }
}
