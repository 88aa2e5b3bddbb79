//! What is wrong with the keys of a task beside each other.

use std::collections::HashSet;

use super::categories::Categories;
use super::class_list::ClassList;
use super::entry::TaskEntry;
use super::field_error::FieldError;
use super::format::{FileFormat, Format};

impl TaskEntry {
    /// What is wrong with the fields beside each other.
    pub(crate) fn wrong(&self) -> Vec<FieldError> {
        let values = self.wrong_values_of_all();
        let found = [self.wrong_classes(), values, self.wrong_places()].concat();
        let at = |wrong: FieldError| FieldError {
            key: format!("tasks.{}.{}", self.name, wrong.key),
            ..wrong
        };
        found.into_iter().map(at).collect()
    }

    fn wrong_classes(&self) -> Vec<FieldError> {
        let names = self.classes.names();
        let (count, mut found) = (names.len(), Vec::new());
        let mut wrong =
            |key: &str, expected: &str, is: String| found.push(FieldError::new(key, expected, is));
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
        found
    }

    /// What is wrong with what stored values mean, in any of the places.
    fn wrong_values_of_all(&self) -> Vec<FieldError> {
        let mut found = self.wrong_values();
        let own = found.clone();
        for (number, place) in (1..).zip(&self.or) {
            // A place has what is wrong with the task's keys from there.
            let wrong = self.at(place).wrong_values().into_iter().filter(|w| !own.contains(w));
            let at = |wrong: FieldError| FieldError {
                key: format!("or.{number}.{}", wrong.key),
                ..wrong
            };
            found.extend(wrong.map(at));
        }
        found
    }

    fn wrong_values(&self) -> Vec<FieldError> {
        [self.wrong_map(), self.wrong_numbers()].concat()
    }

    fn wrong_map(&self) -> Vec<FieldError> {
        let count = self.classes.names().len();
        let class = |value: i64| value == 255 || usize::try_from(value).is_ok_and(|v| v < count);
        let mut found = Vec::new();
        if let Some([_, to]) = self.map.iter().find(|[_, to]| !class(*to)) {
            found.push(FieldError::new("map", format!("classes below {count} or 255"), to));
        }
        if let Some(to) = self.map_others.filter(|&to| !class(i64::from(to))) {
            let expected = format!("a class below {count} or 255");
            found.push(FieldError::new("map_others", expected, to));
        }
        found
    }

    fn wrong_numbers(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        if !(self.scale.is_finite() && self.scale > 0.0 && self.offset.is_finite()) {
            let is = format!("{} and {}", self.scale, self.offset);
            found.push(FieldError::new("scale and offset", "finite numbers, scale above 0", is));
        }
        if self.rotate_right >= u16::BITS {
            found.push(FieldError::new("rotate_right", "0 to 15 bits", self.rotate_right));
        }
        if !self.signs.iter().all(|sign| sign.abs() == 1.0) {
            found.push(FieldError::new("signs", "three of 1 and -1", format!("{:?}", self.signs)));
        }
        if !self.threshold.is_finite() {
            found.push(FieldError::new("threshold", "a finite number", self.threshold));
        }
        let above_zero = |metres: f64| metres.is_finite() && metres > 0.0;
        if let Some(wrong) = self.disparity.filter(|&metres| !above_zero(metres)) {
            found.push(FieldError::new("disparity", "a finite number above 0", wrong));
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

    /// What is wrong with formats and the keys that go with some of them alone.
    fn wrong_places(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        if let Some(place) = self.places().find(|place| !place.format.suits(self.kind)) {
            let expected = format!("one for kind {}", self.kind.name());
            found.push(FieldError::new("format", expected, place.format.name()));
        }
        let single = |format: &Format| !matches!(format, Format::File(_));
        let single = self.places().find(|place| single(&place.format));
        if let Some(place) = single.filter(|_| !self.or.is_empty()) {
            found.push(FieldError::new("or", "formats of files", place.format.name()));
        }
        found.extend(self.wrong_mask());
        found.extend(self.wrong_index());
        found.extend(self.wrong_parts());
        found
    }

    fn wrong_mask(&self) -> Option<FieldError> {
        let grid = |format: &Format| {
            use FileFormat::{Hdf5, IndexPng, Mat, Npy, PalettePng, Png16, Tiff};
            let Format::File(format) = format else { return false };
            matches!(format, IndexPng | PalettePng | Png16 | Npy | Tiff | Mat(_) | Hdf5(_))
        };
        let mask = self.mask.as_ref().filter(|mask| !grid(&mask.format))?;
        let expected = "a format with one number per pixel";
        Some(FieldError::new("mask.format", expected, mask.format.name()))
    }

    /// What is wrong beside a format of one file for all images.
    fn wrong_index(&self) -> Option<FieldError> {
        let Format::Indexed(format) = &self.format else { return None };
        if self.label.replace("{split}", "").contains('{') {
            let expected =
                format!("a file of all images for {}, with no slot but {{split}}", format.name);
            return Some(FieldError::new("label", expected, &self.label));
        }
        match (&self.categories, self.has_classes()) {
            (Some(Categories::Names(_)), true) => {
                let expected = "lists of names by class, such as { vehicle = [\"car\", \"bus\"] }";
                Some(FieldError::new("categories", expected, "one list"))
            }
            (Some(Categories::Classes(_)), false) => {
                Some(FieldError::new("categories", "one list of names", "lists by class"))
            }
            (Some(Categories::Classes(lists)), true) => {
                let odd = lists.keys().find(|class| !self.classes.names().contains(class))?;
                let expected = format!("keys among [{}]", self.classes.names().join(", "));
                Some(FieldError::new("categories", expected, odd))
            }
            _ => None,
        }
    }

    fn wrong_parts(&self) -> Option<FieldError> {
        let stored = |place: Self| matches!(place.format, Format::File(FileFormat::MatParts(_)));
        let count = self.classes.names().len();
        if self.places().any(stored) && self.parts.is_empty() {
            return Some(FieldError::new("parts", "classes of named parts, for mat_parts", "none"));
        }
        let (part, class) = self.parts.iter().find(|(_, class)| usize::from(**class) >= count)?;
        let expected = format!("classes below {count}");
        Some(FieldError::new("parts", expected, format!("{part} = {class}")))
    }
}

/// The first name that is empty, has a line's end, or came before.
fn repeated_or_odd(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    let odd = |name: &str| name.trim().is_empty() || name.contains(char::is_control);
    names.iter().find(|name| odd(name) || !seen.insert(name.as_str()))
}
