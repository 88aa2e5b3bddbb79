//! A manifest for a folder of shards or tables.
//!
//! Some records are unpacked into a folder of their own, a folder for each part, and looked at like
//! any other folder of images and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::collect::collect;
use super::inferred::InferredManifest;
use super::lists::files;
use super::loose::{Loose, look, with};
use super::magic::ending;
use super::series::{Series, split_in};
use super::splits::SHARES;
use super::stored::is_matlab_hdf5;
use super::text::{distinct, key, start, table};
use super::texts::of_texts;
use crate::decode::unreadable;
use crate::packed::{self, Packed, Records};
use crate::{Error, Result};

/// Records that are unpacked.
const SAMPLES: usize = 64;

/// The manifest of `folder`, if it has files of a packed format and no photographs beside them:
/// archives lie beside what was unpacked from them.
pub(super) fn recognise(
    name: &str,
    folder: &Path,
    _: &mut Vec<String>,
) -> Result<Option<InferredManifest>> {
    if collect(folder)?.0.iter().any(Series::may_be_photographs) {
        return Ok(None);
    }
    for format in packed::FORMATS {
        for &ending in format.endings {
            let mut found = files(folder, &[ending], u64::MAX);
            // Of MATLAB's files those that are HDF5.
            found.retain(|path| ending != "mat" || is_matlab_hdf5(path));
            if !found.is_empty() {
                return manifest(name, folder, (format, ending), &found).map(Some);
            }
        }
    }
    Ok(None)
}

fn manifest(
    name: &str,
    folder: &Path,
    (format, ending): (&'static Packed, &str),
    found: &[PathBuf],
) -> Result<InferredManifest> {
    let (splits, pattern, mut notes) = parted(folder, found);
    let first = splits.keys().find(|split| split.as_ref().is_some_and(|s| s.starts_with("train")));
    let files = first.map_or_else(|| splits.values().next(), |first| splits.get(first));
    let records = (format.open)(files.map_or(&[], Vec::as_slice))?;
    let unpacked = tempfile::tempdir().map_err(unreadable(&std::env::temp_dir()))?;
    let held = unpack(records.as_ref(), format.image, unpacked.path())?;
    let texts = &held.texts;
    let parts = parts(records.as_ref(), texts);
    notes.extend(held.notes());
    let Loose { images, tasks, notes: more, .. } = look(unpacked.path(), false)
        .map_err(|error| without_images(folder, &pattern, &parts, error))?;
    let inside = format!("{}/", unpacked.path().display());
    notes.extend(more.into_iter().map(|note| note.replace(&inside, "")));
    let image = part_of(&images.pattern());
    let mut text = start(name)
        + &format!(
            "[layout]\nformat = {:?}\nimages = {pattern:?}\nimage = {image:?}\n",
            format.name
        );
    let (lines, names) = split_lines(splits.keys());
    text += &lines;
    let all = distinct(tasks.iter().map(|task| task.name.clone()));
    for (mut task, name) in tasks.into_iter().zip(all) {
        task.label = part_of(&task.label);
        notes.extend(task.notes());
        text += &table(&task, &name);
    }
    let of_texts = of_texts(records.as_ref(), texts);
    let unread = records.unread().into_iter();
    notes.extend(unread.map(|(part, kind)| format!("column {part}: {kind}, which is not read")));
    notes.extend(of_texts.notes);
    if !text.contains("[[tasks]]") && of_texts.tasks.is_empty() {
        return Err(Error::Config {
            origin: folder.display().to_string(),
            key: "parts".to_owned(),
            expected: "images and labels in records".to_owned(),
            found: with(format!("{parts} and no labels"), &notes),
        });
    }
    text.extend(of_texts.tasks);
    let why = format!(
        "{pattern}: {} records, the first with {parts}, in files of .{ending}, which are read as {}",
        records.len(),
        format.name
    );
    notes.insert(0, why);
    Ok(InferredManifest { manifest: text, splits: names, notes, held_out: None })
}

/// The parts of the first record, as messages name them.
fn parts(records: &dyn Records, texts: &BTreeSet<String>) -> String {
    if records.len() == 0 {
        return "no parts".to_owned();
    }
    let part = |part: String| if texts.contains(&part) { format!("{part} (text)") } else { part };
    let parts: Vec<String> = records.parts(0).into_iter().map(part).collect();
    format!("the parts {}", parts.join(", "))
}

/// What is wrong where no part has photographs: what was unpacked of it is nobody's business.
fn without_images(folder: &Path, pattern: &str, parts: &str, error: Error) -> Error {
    match error {
        Error::Config { .. } => Error::Config {
            origin: folder.display().to_string(),
            key: "parts".to_owned(),
            expected: "one of JPEG or PNG photographs, or WebP, TIFF, BMP".to_owned(),
            found: format!("{parts} in {pattern}, none of them photographs"),
        },
        other => other,
    }
}

/// Files by split, and the pattern of their names.
type Parted = (BTreeMap<Option<String>, Vec<PathBuf>>, String, Vec<String>);

fn parted(folder: &Path, found: &[PathBuf]) -> Parted {
    let mut splits: BTreeMap<Option<String>, Vec<PathBuf>> = BTreeMap::new();
    for path in found {
        splits.entry(split_in(&below(folder, path))).or_default().push(path.clone());
    }
    let mut notes = Vec::new();
    if splits.len() > 1
        && let Some(others) = splits.remove(&None)
    {
        let first = below(folder, &others[0]);
        notes.push(format!("{} files such as {first} of no split: skipped", others.len()));
    }
    let with_slot = |(split, paths): (&Option<String>, &Vec<PathBuf>)| {
        let slot = |path: &PathBuf| match split {
            Some(split) => below(folder, path).replacen(split.as_str(), "{split}", 1),
            None => below(folder, path),
        };
        paths.iter().map(slot).collect::<Vec<_>>()
    };
    let names: BTreeSet<String> = splits.iter().flat_map(with_slot).collect();
    let pattern = common(&names);
    (splits, pattern, notes)
}

fn below(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// The one name, or what all names begin and end with around a star; numbers stay whole.
fn common(names: &BTreeSet<String>) -> String {
    let (Some(first), Some(last)) = (names.first(), names.last()) else { return String::new() };
    if names.len() == 1 {
        return first.clone();
    }
    let shared = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // Of sorted names the first and the last differ the soonest.
    let mut head = shared(first, last);
    let reversed: Vec<String> = names.iter().map(|name| name.chars().rev().collect()).collect();
    let mut tail = reversed.iter().map(|name| shared(&reversed[0], name)).min().unwrap_or(0);
    tail = tail.min(first.len().min(last.len()) - head);
    let digit = |byte: u8| byte.is_ascii_digit();
    while head > 0 && digit(first.as_bytes()[head - 1]) {
        head -= 1;
    }
    while tail > 0 && digit(first.as_bytes()[first.len() - tail]) {
        tail -= 1;
    }
    format!("{}*{}", first.get(..head).unwrap_or(""), first.get(first.len() - tail..).unwrap_or(""))
}

fn split_lines<'a>(splits: impl Iterator<Item = &'a Option<String>>) -> (String, Vec<String>) {
    let named: Vec<String> = splits.flatten().cloned().collect();
    if named.is_empty() {
        let line = |(split, share): &(&str, &str)| format!("{split} = {{ fraction = {share} }}\n");
        let text: String = SHARES.iter().map(line).collect();
        let head = "\n[splits]\n# No file is called like a split: a tenth of the records.\n";
        return (head.to_owned() + &text, SHARES.map(|(split, _)| split.to_owned()).to_vec());
    }
    let text: String = named.iter().map(|split| format!("{} = {{}}\n", key(split))).collect();
    (format!("\n[splits]\n{text}"), named)
}

/// The part that a pattern of unpacked files is of.
fn part_of(pattern: &str) -> String {
    pattern.split('/').next().unwrap_or_default().to_owned()
}

/// What records hold.
#[derive(Default)]
struct Unpacked {
    /// Parts that are texts.
    texts: BTreeSet<String>,
    /// Parts that cannot be read, and why.
    unread: BTreeMap<String, Error>,
}

/// Writes some records below `folder`, as `<part>/<number>.<ending>`; `images` names the parts that
/// an image is looked for in. A part that cannot be read, such as rows of ragged lists, is left out.
fn unpack(records: &dyn Records, images: &str, folder: &Path) -> Result<Unpacked> {
    let mut unpacked = Unpacked::default();
    let count = records.len().min(SAMPLES);
    let mut files = 0;
    for index in (0..count).map(|k| k * records.len() / count) {
        for part in records.parts(index).iter().filter(|part| !part.contains(['/', '\\'])) {
            if unpacked.unread.contains_key(part) {
                continue;
            }
            let is_image = images.split(';').any(|image| image == part);
            let read =
                if is_image { records.image(index, part) } else { records.read(index, part) };
            match read {
                Ok(Some(bytes)) => {
                    files += usize::from(unpacked.write(folder, part, index, &bytes)?)
                }
                Ok(None) => {}
                Err(error) => drop(unpacked.unread.insert(part.clone(), error)),
            }
        }
    }
    match unpacked.unread.pop_first() {
        Some((_, error)) if files == 0 => Err(error),
        Some((part, error)) => {
            unpacked.unread.insert(part, error);
            Ok(unpacked)
        }
        None => Ok(unpacked),
    }
}

impl Unpacked {
    /// Whether the bytes are those of a file.
    fn write(&mut self, folder: &Path, part: &str, index: usize, bytes: &[u8]) -> Result<bool> {
        let Some(ending) = ending(bytes) else {
            self.texts.insert(part.to_owned());
            return Ok(false);
        };
        let folder = folder.join(part);
        let place = folder.join(format!("{index:08}.{ending}"));
        fs::create_dir_all(&folder).map_err(unreadable(&place))?;
        fs::write(&place, bytes).map_err(unreadable(&place))?;
        Ok(true)
    }

    fn notes(&self) -> impl Iterator<Item = String> {
        self.unread.iter().map(|(part, error)| format!("part {part}: left out: {error}"))
    }
}
