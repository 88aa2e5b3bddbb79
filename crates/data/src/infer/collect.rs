//! Every file of a folder, put together to series.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::series::{Family, File, Series};
use crate::Result;
use crate::decode::unreadable;
use crate::folder::head;

const ENDINGS: [(&str, Family); 15] = [
    ("jpg", Family::Photo),
    ("jpeg", Family::Photo),
    ("jpe", Family::Photo),
    ("webp", Family::Photo),
    ("bmp", Family::Photo),
    ("tif", Family::Photo),
    ("tiff", Family::Photo),
    ("png", Family::Png),
    ("npy", Family::Array),
    ("exr", Family::Array),
    ("pfm", Family::Array),
    ("mat", Family::Mat),
    ("h5", Family::Hdf5),
    ("hdf5", Family::Hdf5),
    ("safetensors", Family::Safetensors),
];
/// Deepest folders that are looked into, and most files.
const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 500_000;

/// All series below `folder`, and what is said of files that belong to none.
pub(super) fn collect(folder: &Path) -> Result<(Vec<Series>, Vec<String>)> {
    let mut files = Vec::new();
    walk(folder, &mut Vec::new(), &mut files)?;
    let mut groups: BTreeMap<(String, Family), Vec<File>> = BTreeMap::new();
    let mut others: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files {
        let Some(family) = family(&file.ending) else {
            others.entry(file.ending.to_lowercase()).or_default().push(file);
            continue;
        };
        let root = file.plain().next().cloned().unwrap_or_default();
        groups.entry((root, family)).or_default().push(file);
    }
    let parts = groups.into_iter().flat_map(|((_, family), files)| by_tail(family, files));
    let note = |(ending, files): (String, Vec<File>)| {
        let (count, first) = (files.len(), files[0].path());
        format!("{count} x .{ending}, such as {}: {}", first.display(), unread(&ending))
    };
    let quiet = ["txt", "csv", "db", "ini", "md"];
    let unknown = others.into_iter().filter(|(ending, _)| !quiet.contains(&ending.as_str()));
    Ok((parts.collect(), unknown.map(note).collect()))
}

/// Why files of an ending are passed over.
fn unread(ending: &str) -> &'static str {
    match ending {
        "tar" | "parquet" | "arrow" => {
            "not read beside photographs, which may be unpacked from it: to read it, move it to a \
             folder of its own"
        }
        "gz" | "tgz" | "zip" | "7z" | "zst" | "bz2" | "xz" => "packed: unpack it first",
        "npz" => "an archive of arrays, which is not read: save each array by numpy.save as .npy",
        "gif" | "pgm" | "ppm" | "pnm" => "no format of images or labels: save them as PNG",
        _ => "no format of images or labels",
    }
}

fn family(ending: &str) -> Option<Family> {
    let found = ENDINGS.iter().find(|(known, _)| ending.eq_ignore_ascii_case(known));
    found.map(|(_, family)| *family)
}

fn walk(folder: &Path, above: &mut Vec<String>, files: &mut Vec<File>) -> Result<()> {
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>())
        .map_err(unreadable(folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || files.len() >= MAX_FILES {
            continue;
        }
        let path = entry.path();
        if path.is_dir() && above.len() < MAX_DEPTH {
            above.push(name);
            walk(&path, above, files)?;
            above.pop();
        } else if let Some((stem, ending)) = name.rsplit_once('.') {
            let (stem, ending) = (stem.to_owned(), ending.to_owned());
            files.push(File { folders: above.clone(), stem, ending });
        }
    }
    Ok(())
}

/// Parts a group by the words behind the names, if these words come often enough to mean something.
fn by_tail(family: Family, files: Vec<File>) -> Vec<Series> {
    let mut parts: BTreeMap<String, Vec<File>> = BTreeMap::new();
    for file in files {
        parts.entry(tail(&file.stem).to_owned()).or_default().push(file);
    }
    let all: usize = parts.values().map(Vec::len).sum();
    let meant = parts.values().all(|files| files.len() >= 2 && 8 * files.len() >= all);
    if !meant {
        parts = BTreeMap::from([(String::new(), parts.into_values().flatten().collect())]);
    }
    let series = |(tail, files)| Series { family, tail, class_folders: false, files };
    parts.into_iter().map(series).collect()
}

/// The words behind a name, from the first separator on; what begins with a digit is none.
fn tail(stem: &str) -> &str {
    &stem[head(stem).len()..]
}
