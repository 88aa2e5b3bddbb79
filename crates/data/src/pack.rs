//! Any data set as tar shards of WebDataset, which are read one behind the other and need no file
//! system of many small files.
//!
//! Images go in as they are stored, labels as training sees them: index maps as PNG, depth and
//! normals as NumPy arrays, classes as numbers. Beside the shards stands the manifest that reads
//! them.

mod parts;
mod writer;

use std::path::{Path, PathBuf};

use self::parts::label_part;
use self::writer::ShardWriter;
use crate::decode::unreadable;
use crate::{Dataset, Error, FolderDataset, Result, Root, TaskSpec};

/// How a data set is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackOptions {
    /// Samples of a shard, at least 1; the last one of a split may have fewer.
    pub samples: usize,
    /// Names of the splits; all where there is none.
    pub splits: Vec<String>,
}

/// A split that was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedSplit {
    /// Its name.
    pub name: String,
    /// Number of samples.
    pub samples: usize,
    /// Number of shards.
    pub shards: usize,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackReport {
    /// The manifest of the shards.
    pub manifest: PathBuf,
    /// The splits.
    pub splits: Vec<PackedSplit>,
}

/// Writes the data set that `manifest` describes and `root` holds to the new folder `out`, as
/// `SPLIT-000000.tar` and so on, and `NAME.toml`, which reads them. `progress` hears the split,
/// samples that are done, and all.
///
/// # Errors
/// A folder that is there already, a sample that cannot be read, or a label that no part can hold,
/// as edges of several annotators. What was written is removed then.
pub fn pack(
    manifest: &Path,
    root: &Root,
    out: &Path,
    options: &PackOptions,
    progress: &dyn Fn(&str, usize, usize),
) -> Result<PackReport> {
    std::fs::create_dir(out).map_err(unreadable(out))?;
    let packed = write(manifest, root, out, options, progress);
    if packed.is_err() {
        // The first error counts.
        let _ = std::fs::remove_dir_all(out);
    }
    packed
}

fn write(
    manifest: &Path,
    root: &Root,
    out: &Path,
    options: &PackOptions,
    progress: &dyn Fn(&str, usize, usize),
) -> Result<PackReport> {
    let all = FolderDataset::splits(manifest)?;
    let names = if options.splits.is_empty() { &all } else { &options.splits };
    let (mut splits, mut described) = (Vec::new(), None);
    for split in names {
        let data = FolderDataset::open(manifest, root, split)?;
        splits.push(pack_split(&data, split, out, options.samples, progress)?);
        described.get_or_insert_with(|| described_by(&data, names));
    }
    let name = manifest.file_stem().and_then(|stem| stem.to_str()).unwrap_or("packed");
    let manifest = out.join(format!("{name}.toml"));
    let text = described.unwrap_or_default().to_string();
    std::fs::write(&manifest, text).map_err(unreadable(&manifest))?;
    Ok(PackReport { manifest, splits })
}

fn pack_split(
    data: &FolderDataset,
    split: &str,
    out: &Path,
    samples: usize,
    progress: &dyn Fn(&str, usize, usize),
) -> Result<PackedSplit> {
    let mut writer = ShardWriter::new(out, split, samples);
    for index in 0..data.len() {
        let sample = data.get(index)?;
        let image = data.image_bytes(index)?;
        let mut members = vec![(ending(&image).to_owned(), image)];
        for task in data.tasks() {
            let Some(label) = sample.labels.get(&task.name) else { continue };
            let unfit = |found: String| Error::Label {
                sample: sample.name.clone(),
                task: task.name.clone(),
                expected: "a label of one map".into(),
                found,
            };
            members.push((part_of(task), label_part(label).map_err(unfit)?));
        }
        writer.add(&sample.name, &members)?;
        progress(split, index + 1, data.len());
    }
    let shards = writer.finish()?;
    Ok(PackedSplit { name: split.to_owned(), samples: data.len(), shards })
}

/// The usual ending of an image file with these first bytes.
fn ending(image: &[u8]) -> &'static str {
    match image {
        [0xff, 0xd8, ..] => "jpg",
        [b'R', b'I', b'F', b'F', ..] => "webp",
        [b'B', b'M', ..] => "bmp",
        [b'I', b'I', ..] | [b'M', b'M', ..] => "tif",
        _ => "png",
    }
}

/// The part of the labels of `task`.
fn part_of(task: &TaskSpec) -> String {
    format!("{}.{}", task.name.to_lowercase(), parts::format_of(task.kind).ending)
}

/// The manifest of the shards of `data`.
fn described_by(data: &FolderDataset, splits: &[String]) -> toml::Table {
    let text = |text: &str| toml::Value::from(text);
    let mut layout = toml::Table::new();
    layout.insert("format".into(), text("webdataset"));
    layout.insert("images".into(), text("{split}-*.tar"));
    layout.insert("apply_exif_orientation".into(), data.is_upright().into());
    let none = || toml::Value::Table(toml::Table::new());
    let splits: toml::Table = splits.iter().map(|split| (split.clone(), none())).collect();
    let tasks: Vec<toml::Table> = data.tasks().iter().map(described_task).collect();
    let mut manifest = toml::Table::new();
    manifest.insert("name".into(), text(data.name()));
    manifest.insert("layout".into(), layout.into());
    manifest.insert("splits".into(), splits.into());
    manifest.insert("tasks".into(), tasks.into());
    manifest
}

fn described_task(task: &TaskSpec) -> toml::Table {
    let mut table = toml::Table::new();
    let format = parts::format_of(task.kind);
    table.insert("name".into(), task.name.clone().into());
    table.insert("kind".into(), task.kind.name().into());
    table.insert("label".into(), part_of(task).into());
    table.insert("format".into(), format.name.into());
    let list = |numbers: &[u8]| -> toml::Value {
        numbers.iter().map(|&number| i64::from(number)).collect::<Vec<_>>().into()
    };
    if !task.classes.is_empty() {
        table.insert("classes".into(), task.classes.clone().into());
    }
    if format.ignores {
        table.insert("ignore".into(), list(&[crate::IGNORE]));
    }
    // A split of the data set may have had labels that say nothing.
    if task.is_dense() {
        table.insert("allow_void".into(), true.into());
    }
    for (key, rows) in [
        ("palette", task.palette.iter().map(|colour| list(colour)).collect::<Vec<_>>()),
        ("flip_pairs", task.flip_pairs.iter().map(|pair| list(pair)).collect()),
    ] {
        if !rows.is_empty() {
            table.insert(key.into(), rows.into());
        }
    }
    table
}

#[cfg(test)]
mod tests;
