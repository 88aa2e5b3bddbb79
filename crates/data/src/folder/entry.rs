//! One task of a manifest: what it predicts and how its label files are read.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::classes::ClassList;
use super::format::{FileFormat, Format};
use super::keys::Wrong;
use super::place::{Mask, Place};
use crate::{TaskKind, TaskSpec};

/// A table of `[[tasks]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskEntry {
    pub(crate) name: String,
    pub(crate) kind: TaskKind,
    #[serde(default)]
    pub(crate) classes: ClassList,
    #[serde(default)]
    pub(crate) palette: Vec<[u8; 3]>,
    #[serde(default)]
    pub(crate) flip_pairs: Vec<[u8; 2]>,
    /// Pattern of the label files' paths.
    pub(crate) label: String,
    pub(crate) format: Format,
    /// Where else the label may be, looked at in turn.
    #[serde(default)]
    pub(crate) or: Vec<Place>,
    /// Another file that says which pixels have a label.
    #[serde(default)]
    pub(crate) mask: Option<Mask>,
    /// Stored values that mean "no label".
    #[serde(default)]
    pub(crate) ignore: Vec<i64>,
    /// Colours that mean "no label".
    #[serde(default)]
    pub(crate) ignore_colors: Vec<[u8; 3]>,
    /// Pairs of stored value and class.
    #[serde(default)]
    pub(crate) map: Vec<[i64; 2]>,
    /// Class of stored values and colours that nothing else lists; 255 for no label.
    #[serde(default)]
    pub(crate) map_others: Option<u8>,
    /// Metres per stored unit.
    #[serde(default = "one")]
    pub(crate) scale: f64,
    /// Metres at stored 0; with an offset, 0 is a distance like any other.
    #[serde(default)]
    pub(crate) offset: f64,
    /// Metres times stored units of disparity, once `scale` and `offset` are applied: the depth is
    /// this divided by them.
    #[serde(default)]
    pub(crate) disparity: Option<f64>,
    /// Classes of named parts.
    #[serde(default)]
    pub(crate) parts: BTreeMap<String, u8>,
    /// Whether stored values number regions whose outlines are the boundaries.
    #[serde(default)]
    pub(crate) outline: bool,
    /// Whether a label of another size than its image is resized to it instead of refused.
    #[serde(default)]
    pub(crate) resize: bool,
    /// Stored values above this are salient or boundaries.
    #[serde(default = "half")]
    pub(crate) threshold: f64,
    /// Factors that turn stored normals to x right, y up, z towards the camera.
    #[serde(default = "ones")]
    pub(crate) signs: [f32; 3],
    /// Whether a label without any labelled pixel counts as absent instead of as an error.
    #[serde(default)]
    pub(crate) allow_void: bool,
}

impl TaskEntry {
    /// What the rest of the workspace knows of the task, once its classes are known.
    pub(crate) fn spec(&self, classes: Vec<String>) -> TaskSpec {
        TaskSpec {
            name: self.name.clone(),
            kind: self.kind,
            classes,
            palette: self.palette.clone(),
            flip_pairs: self.flip_pairs.clone(),
        }
    }

    /// What is wrong with the fields beside each other.
    pub(crate) fn wrong(&self) -> Vec<Wrong> {
        let found = [self.wrong_classes(), self.wrong_numbers(), self.wrong_places()].concat();
        let at =
            |wrong: Wrong| Wrong { key: format!("tasks.{}.{}", self.name, wrong.key), ..wrong };
        found.into_iter().map(at).collect()
    }

    fn wrong_classes(&self) -> Vec<Wrong> {
        let names = self.classes.names();
        let (count, mut found) = (names.len(), Vec::new());
        let mut wrong =
            |key: &str, expected: &str, is: String| found.push(Wrong::new(key, expected, is));
        if let Some(name) = repeated_or_odd(names) {
            wrong("classes", "different names of one line each", format!("{name:?}"));
        }
        if let Err(expected) = self.validate_classes(count) {
            wrong("classes", expected, count.to_string());
        }
        if !matches!(self.palette.len(), n if n == 0 || n == count) {
            let expected = format!("one colour for each of {count} classes");
            wrong("palette", &expected, self.palette.len().to_string());
        }
        if self.format == Format::File(FileFormat::RgbPng) && self.palette.is_empty() {
            wrong("palette", "the colours that rgb_png stores", "none".to_owned());
        }
        let outside = |pair: &&[u8; 2]| pair.iter().any(|&k| usize::from(k) >= count);
        if let Some(pair) = self.flip_pairs.iter().find(outside) {
            wrong("flip_pairs", &format!("classes below {count}"), format!("{pair:?}"));
        }
        let class = |value: i64| value == 255 || usize::try_from(value).is_ok_and(|v| v < count);
        if let Some([_, to]) = self.map.iter().find(|[_, to]| !class(*to)) {
            wrong("map", &format!("classes below {count} or 255"), to.to_string());
        }
        if let Some(to) = self.map_others.filter(|&to| !class(i64::from(to))) {
            wrong("map_others", &format!("a class below {count} or 255"), to.to_string());
        }
        found
    }

    fn wrong_numbers(&self) -> Vec<Wrong> {
        let mut found = Vec::new();
        if !(self.scale.is_finite() && self.scale > 0.0 && self.offset.is_finite()) {
            let is = format!("{} and {}", self.scale, self.offset);
            found.push(Wrong::new("scale and offset", "finite numbers, scale above 0", is));
        }
        if !self.signs.iter().all(|sign| sign.abs() == 1.0) {
            found.push(Wrong::new("signs", "three of 1 and -1", format!("{:?}", self.signs)));
        }
        if !self.threshold.is_finite() {
            found.push(Wrong::new("threshold", "a finite number", self.threshold));
        }
        found
    }

    /// Whether there are as many names as the kind needs; else how many it needs.
    fn validate_classes(&self, count: usize) -> std::result::Result<(), &'static str> {
        let found = match (&self.classes, &self.format) {
            (ClassList::File(_), Format::Index) => return Ok(()),
            (ClassList::File(_), _) => return Err("names; a file of them is for `index`"),
            (_, Format::Path) => count == 0 && self.label_is_a_slot(),
            _ => false,
        };
        match (self.has_classes(), self.spec(Vec::new()).is_dense()) {
            (true, true) if !(1..=255).contains(&count) => Err("1 to 255 names"),
            (true, false) if count == 0 && !found => Err("1 or more names"),
            (false, _) if count > 0 => Err("no names"),
            _ => Ok(()),
        }
    }

    /// Whether classes can be found as folders: the label is all that the slot stands for.
    fn label_is_a_slot(&self) -> bool {
        let inner = self.label.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inner.is_some_and(|slot| !slot.contains(['{', '}']))
    }

    /// Whether the manifest itself names the task's classes, or it has none.
    pub(crate) fn names_classes(&self) -> bool {
        !self.has_classes() || !self.classes.names().is_empty()
    }

    fn has_classes(&self) -> bool {
        use TaskKind::{Classification, HumanParts, Semseg, Tags};
        matches!(self.kind, Semseg | HumanParts | Classification | Tags)
    }
}

/// The first name that is empty, has a line's end, or came before.
fn repeated_or_odd(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    let odd = |name: &str| name.trim().is_empty() || name.contains(char::is_control);
    names.iter().find(|name| odd(name) || !seen.insert(name.as_str()))
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}
