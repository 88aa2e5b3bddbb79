//! Paths with slots, such as `images/{split}/{id}.jpg`.

mod find;

use std::collections::BTreeMap;
use std::fmt;

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

    /// Name of an image: what the slots other than split and extension stand for.
    pub(crate) fn title(&self, slots: &Slots) -> String {
        let mut names: Vec<&str> =
            self.slots().filter(|&slot| slot != "split" && slot != "ext").collect();
        names.dedup();
        let values: Vec<&str> =
            names.iter().filter_map(|&slot| slots.get(slot)).map(String::as_str).collect();
        values.join("/")
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

    /// The pattern with `{ext}` instead of the ending, and that ending.
    pub(crate) fn with_any_ending(&self) -> Option<(Self, String)> {
        let (last, before) = self.pieces.split_last()?;
        let Piece::Text(text) = last else { return None };
        let (stem, ending) = text.rsplit_once('.')?;
        let tail = [Piece::Text(format!("{stem}.")), Piece::Slot("ext".to_owned())];
        Some((Self { pieces: before.iter().cloned().chain(tail).collect() }, ending.to_owned()))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::find::matches;
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
