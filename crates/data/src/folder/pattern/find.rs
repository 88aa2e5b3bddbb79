//! Files and folders that fit a pattern.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Pattern, Piece, Slots};
use crate::Result;
use crate::decode::unreadable;

impl Pattern {
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
pub(super) fn matches(pieces: &[Piece], name: &str, any_case: bool, slots: &mut Slots) -> bool {
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
