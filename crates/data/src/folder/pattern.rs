//! Paths with slots, such as `images/{split}/{id}.jpg`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use crate::Result;
use crate::decode::unreadable;

/// What the slots of a pattern stand for.
pub(crate) type Slots = BTreeMap<String, String>;

/// A relative path with slots in braces.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Slot(String),
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => formatter.write_str(text),
            Piece::Slot(name) => write!(formatter, "{{{name}}}"),
        })
    }
}

impl Pattern {
    /// Parses a pattern; the error says what it should be.
    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.starts_with('/') || text.contains('\\') || text.split('/').any(|part| part == "..")
        {
            return Err("a path below the data set's folder, parts divided by /".to_owned());
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, slot)) = rest.split_once('{') {
            let (name, after) = slot.split_once('}').ok_or("a closing } for every {")?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                return Err("slots with names of lower-case letters, such as {id}".to_owned());
            }
            pieces.extend((!before.is_empty()).then(|| Piece::Text(before.to_owned())));
            if let (Some(Piece::Slot(_)), true) = (pieces.last(), before.is_empty()) {
                return Err("text between two slots".to_owned());
            }
            pieces.push(Piece::Slot(name.to_owned()));
            rest = after;
        }
        pieces.extend((!rest.is_empty()).then(|| Piece::Text(rest.to_owned())));
        Ok(Self { pieces })
    }

    /// Names of the slots in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Slot(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The pattern with every slot filled; slots without a value stay empty.
    pub(crate) fn expand(&self, slots: &Slots) -> String {
        let part = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Slot(name) => slots.get(name).cloned().unwrap_or_default(),
        };
        self.pieces.iter().map(part).collect()
    }

    /// The pattern of files whose `{id}` begins with the folders `above`.
    pub(crate) fn below(&self, above: &str) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        for piece in &self.pieces {
            let id = matches!(piece, Piece::Slot(name) if name == "id");
            match pieces.last_mut() {
                Some(Piece::Text(text)) if id && !above.is_empty() => {
                    *text += &format!("{above}/");
                }
                _ if id && !above.is_empty() => pieces.push(Piece::Text(format!("{above}/"))),
                _ => {}
            }
            pieces.push(piece.clone());
        }
        Self { pieces }
    }

    /// Every file below `root` that fits, in the order of paths, with what its slots stand for.
    /// Hidden files are passed over.
    pub(crate) fn find(&self, root: &Path, known: &Slots) -> Result<Vec<Slots>> {
        let mut found = Vec::new();
        let wanted = Wanted { kind: Path::is_file, any_case: false };
        walk((root, wanted), &self.parts(), known.clone(), &mut found)?;
        Ok(found)
    }

    /// Every file below `root` that fits when upper and lower case are one, by its path.
    pub(crate) fn find_in_any_case(&self, root: &Path, known: &Slots) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let wanted = Wanted { kind: Path::is_file, any_case: true };
        walk((root, wanted), &self.parts(), known.clone(), &mut found)?;
        Ok(found
            .into_iter()
            .filter_map(|mut slots| slots.remove(PATH))
            .map(PathBuf::from)
            .collect())
    }

    /// The pattern with `{ext}` instead of the ending, and that ending.
    pub(crate) fn with_any_ending(&self) -> Option<(Self, String)> {
        let (last, before) = self.pieces.split_last()?;
        let Piece::Text(text) = last else { return None };
        let (stem, ending) = text.rsplit_once('.')?;
        let tail = [Piece::Text(format!("{stem}.")), Piece::Slot("ext".to_owned())];
        Some((Self { pieces: before.iter().cloned().chain(tail).collect() }, ending.to_owned()))
    }

    /// Every folder below `root` that fits the levels down to that of `slot`, whether or not it
    /// holds a file; none if only names of files have the slot.
    pub(crate) fn find_folders(
        &self,
        root: &Path,
        known: &Slots,
        slot: &str,
    ) -> Result<Vec<Slots>> {
        let parts = self.parts();
        let level = parts.iter().position(|part| part.slots().any(|other| other == slot));
        let mut found = Vec::new();
        if let Some(level) = level {
            let wanted = Wanted { kind: Path::is_dir, any_case: false };
            walk((root, wanted), &parts[..=level], known.clone(), &mut found)?;
        }
        Ok(found)
    }

    /// One pattern for each folder level.
    fn parts(&self) -> Vec<Self> {
        let mut parts = vec![Self { pieces: Vec::new() }];
        for piece in &self.pieces {
            let mut texts = match piece {
                Piece::Text(text) => text.split('/').map(str::to_owned).collect(),
                Piece::Slot(_) => Vec::new(),
            };
            let last = parts.last_mut().expect("starts with one part");
            if let Piece::Slot(_) = piece {
                last.pieces.push(piece.clone());
                continue;
            }
            let first = texts.remove(0);
            last.pieces.extend((!first.is_empty()).then_some(Piece::Text(first)));
            parts.extend(texts.into_iter().map(|text| Self {
                pieces: (!text.is_empty()).then_some(Piece::Text(text)).into_iter().collect(),
            }));
        }
        parts
    }
}

/// Slot of the path that was found, where it is asked for; no pattern can name it.
const PATH: &str = "/";

/// What is looked for.
#[derive(Clone, Copy)]
struct Wanted {
    kind: fn(&Path) -> bool,
    any_case: bool,
}

fn walk(
    (folder, wanted): (&Path, Wanted),
    parts: &[Pattern],
    mut slots: Slots,
    found: &mut Vec<Slots>,
) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        if (wanted.kind)(folder) {
            if wanted.any_case {
                slots.insert(PATH.to_owned(), folder.to_string_lossy().into_owned());
            }
            found.push(slots);
        }
        return Ok(());
    };
    if !wanted.any_case && part.slots().all(|slot| slots.contains_key(slot)) {
        let next = folder.join(part.expand(&slots));
        return walk((&next, wanted), rest, slots, found);
    }
    if !folder.is_dir() {
        return Ok(());
    }
    for name in names(folder)? {
        let mut inner = slots.clone();
        if matches(&part.pieces, &name, wanted.any_case, &mut inner) {
            walk((&folder.join(&name), wanted), rest, inner, found)?;
        }
    }
    Ok(())
}

/// Names in a folder, sorted, without hidden ones and those that are not text.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(unreadable(folder))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable(folder))?;
        names.extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a name fits; slots take as much as they can and one character at least.
fn matches(pieces: &[Piece], name: &str, any_case: bool, slots: &mut Slots) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return name.is_empty() };
    let text = |text: &str, slots: &mut Slots| {
        without(name, text, any_case).is_some_and(|after| matches(rest, after, any_case, slots))
    };
    match piece {
        Piece::Text(known) => text(known, slots),
        Piece::Slot(slot) => match slots.get(slot).cloned() {
            Some(value) => text(&value, slots),
            None => {
                let ends = name.char_indices().skip(1).map(|(place, _)| place);
                let ends: Vec<usize> =
                    ends.chain((!name.is_empty()).then_some(name.len())).collect();
                ends.into_iter().rev().any(|end| {
                    slots.insert(slot.clone(), name[..end].to_owned());
                    let fits = matches(rest, &name[end..], any_case, slots);
                    if !fits {
                        slots.remove(slot);
                    }
                    fits
                })
            }
        },
    }
}

/// What follows `text` at the beginning of `name`.
fn without<'a>(name: &'a str, text: &str, any_case: bool) -> Option<&'a str> {
    match any_case {
        true => {
            let (head, after) = name.split_at_checked(text.len())?;
            head.eq_ignore_ascii_case(text).then_some(after)
        }
        false => name.strip_prefix(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn slots(pairs: &[(&str, &str)]) -> Slots {
        pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn expands_and_lists_slots() {
        let pattern = Pattern::parse("a/{split}/{id}_x.png").unwrap();
        assert_eq!(pattern.slots().collect::<Vec<_>>(), ["split", "id"]);
        assert_eq!(pattern.expand(&slots(&[("split", "val"), ("id", "7")])), "a/val/7_x.png");
    }

    #[test]
    fn wrong_patterns_are_refused() {
        let message = |text: &str| Pattern::parse(text).unwrap_err();
        assert_eq!(message("a/{id"), "a closing } for every {");
        assert_eq!(message("a/{Id}"), "slots with names of lower-case letters, such as {id}");
        assert_eq!(message("a/{id}{ext}"), "text between two slots");
        for outside in ["/a/{id}", "a/../{id}", "a\\{id}"] {
            assert!(message(outside).starts_with("a path below"));
        }
    }

    #[test]
    fn slots_take_as_much_as_they_can() {
        let parts = Pattern::parse("{id}_leftImg.{ext}").unwrap();
        let mut found = Slots::new();
        assert!(matches(&parts.pieces, "a_leftImg.b_leftImg.png", false, &mut found));
        assert_eq!(found, slots(&[("id", "a_leftImg.b"), ("ext", "png")]));
        assert!(!matches(&parts.pieces, "a.png", false, &mut Slots::new()));
    }

    #[test]
    fn finds_files_through_folders_in_order() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "train/cat/2.jpg",
            "train/cat/.1.jpg",
            "train/ape/1.jpg",
            "train/ape/1.txt",
            "val/ape/3.jpg",
        ] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let pattern = Pattern::parse("{split}/{class}/{id}.jpg").unwrap();
        let found = pattern.find(root.path(), &slots(&[("split", "train")])).unwrap();
        let class = |k: usize| found[k]["class"].as_str();
        assert_eq!((found.len(), class(0), class(1)), (2, "ape", "cat"));
        assert!(pattern.find(root.path(), &slots(&[("split", "test")])).unwrap().is_empty());
    }
}
