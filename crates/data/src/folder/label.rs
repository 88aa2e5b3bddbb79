//! From stored numbers to labels: ignored values, class maps, units and axes.

use std::collections::HashMap;

use ndarray::{Array2, Array3};

use super::boundaries::region_boundaries;
use super::entry::TaskEntry;
use super::parts;
use super::people::people;
use super::raw::Raw;
use crate::check::Fault;
use crate::sample::IGNORE;
use crate::{Label, TaskKind};

type Fitted<T> = Result<T, Fault>;

/// Vectors shorter than this have no direction: a grey pixel that stands for "no normal" is
/// stored as 127 or 128 and never exactly as zero.
const SHORTEST_NORMAL: f64 = 0.1;

impl TaskEntry {
    /// Gives stored numbers their meaning; `None` where the kind has no label in them.
    pub(crate) fn label(&self, raw: Raw) -> Fitted<Option<Label>> {
        use TaskKind::{
            Classification, Depth, Edge, HumanParts, Normals, Retrieval, Sal, Semseg, Tags,
        };
        Ok(Some(match (self.kind, raw) {
            (_, Raw::Absent) => return Ok(None),
            (_, Raw::Bytes(map)) => return self.label_of_bytes(map),
            (Semseg, Raw::Grid(grid)) => Label::Classes(self.classes_of(&grid)?),
            (Semseg, Raw::Colours(colours)) => Label::Classes(self.colours_to_classes(&colours)?),
            (HumanParts, Raw::Grid(grid)) => return Ok(people(self.classes_of(&grid)?)),
            (HumanParts, Raw::Colours(c)) => return Ok(people(self.colours_to_classes(&c)?)),
            (HumanParts, Raw::Parts(found)) => {
                return Ok(parts::painted(&found, &self.parts)?.and_then(people));
            }
            (Sal, Raw::Grid(grid)) => Label::Binary(self.binary(&grid)),
            (Edge, Raw::Grid(grid)) if self.region_boundaries => {
                Label::Edges(vec![region_boundaries(&grid)])
            }
            (Edge, Raw::Grid(grid)) => Label::Edges(vec![self.binary(&grid)]),
            (Edge, Raw::Maps(maps)) => {
                Label::Edges(maps.iter().map(|grid| self.binary(grid)).collect())
            }
            (Normals, Raw::Vectors(vectors)) => Label::Normals(self.normals(&vectors)?),
            (Depth, Raw::Grid(grid)) => Label::Depth(self.depth(&grid)),
            (Classification, Raw::Names(names)) => Label::Category(self.category(&names)?),
            (Tags, Raw::Names(names)) => Label::Tags(self.tags(&names)?),
            (Classification, Raw::Indices(numbers)) => {
                Label::Category(self.category(&self.named(&numbers)?)?)
            }
            (Tags, Raw::Indices(numbers)) => Label::Tags(self.tags(&self.named(&numbers)?)?),
            (Retrieval, Raw::Text(text)) if text.is_empty() => return Ok(None),
            (Retrieval, Raw::Text(text)) => Label::Caption(text),
            (kind, raw) => return Err(Fault::new(format!("a {kind:?} label"), raw.describe())),
        }))
    }

    /// Refuses a label without any labelled pixel, or takes it as absent.
    pub(crate) fn unless_void(&self, label: Label) -> Fitted<Option<Label>> {
        match label.is_void() {
            true if self.allow_void => Ok(None),
            true => Err(Fault::new("at least 1 labelled pixel", "only pixels without a label")),
            false => Ok(Some(label)),
        }
    }

    fn classes_of(&self, grid: &Array2<f64>) -> Fitted<Array2<u8>> {
        let map = self.class_map();
        let mut wrong = None;
        let classes = Array2::from_shape_fn(grid.dim(), |(y, x)| {
            let value = grid[[y, x]];
            self.class(value, &map).unwrap_or_else(|| {
                wrong.get_or_insert((value, x, y));
                IGNORE
            })
        });
        wrong.map_or(Ok(classes), |(value, x, y)| {
            Err(Fault::new(self.accepted(), format!("{value} at x = {x}, y = {y}")))
        })
    }

    /// Classes of the stored values that `map` lists.
    pub(super) fn class_map(&self) -> HashMap<i64, u8> {
        self.map.iter().map(|&[from, to]| (from, to as u8)).collect()
    }

    pub(super) fn class(&self, value: f64, map: &HashMap<i64, u8>) -> Option<u8> {
        let stored = value as i64;
        if stored as f64 != value {
            return None;
        }
        if self.ignore.contains(&stored) {
            return Some(IGNORE);
        }
        let found = match map.is_empty() {
            true => u8::try_from(stored)
                .ok()
                .filter(|&class| usize::from(class) < self.classes.names().len()),
            false => map.get(&stored).copied(),
        };
        found.or(self.map_others)
    }

    fn accepted(&self) -> String {
        let classes = match self.map.as_slice() {
            [] => format!("a class below {}", self.classes.names().len()),
            _ => "a value that `map` lists".to_owned(),
        };
        format!("{classes} or one of {:?} for no label", self.ignore)
    }

    fn colours_to_classes(&self, colours: &Array3<u16>) -> Fitted<Array2<u8>> {
        let ignored = self.ignore_colors.iter().map(|&colour| (colour, IGNORE));
        let known = self.palette.iter().enumerate().map(|(class, &colour)| (colour, class as u8));
        let table: HashMap<[u16; 3], u8> =
            ignored.chain(known).map(|(colour, class)| (colour.map(u16::from), class)).collect();
        let mut wrong = None;
        let (height, width, _) = colours.dim();
        let classes = Array2::from_shape_fn((height, width), |(y, x)| {
            let colour = [0, 1, 2].map(|c| colours[[y, x, c]]);
            table.get(&colour).copied().or(self.map_others).unwrap_or_else(|| {
                wrong.get_or_insert((colour, x, y));
                IGNORE
            })
        });
        wrong.map_or(Ok(classes), |(colour, x, y)| {
            let found = format!("{colour:?} at x = {x}, y = {y}");
            let expected = "a colour of `palette` or of `ignore_colors`; `map_others = 255` says that \
                            other colours have no label";
            Err(Fault::new(expected, found))
        })
    }

    pub(super) fn binary(&self, grid: &Array2<f64>) -> Array2<u8> {
        // Row by row whatever the file's order: what follows reads it so many times.
        grid.as_standard_layout().mapv(|value| {
            let ignored = value.is_nan() || self.ignore.iter().any(|&v| v as f64 == value);
            if ignored { IGNORE } else { u8::from(value > self.threshold) }
        })
    }

    /// Metres; what is not finite, ignored or not in front of the camera has no label.
    pub(super) fn depth(&self, grid: &Array2<f64>) -> Array2<f32> {
        grid.mapv(|value| {
            let stored = self.rotated(value) * self.scale + self.offset;
            let metres = self.disparity.map_or(stored, |metres| metres / stored) as f32;
            let ignored = self.ignore.iter().any(|&v| v as f64 == value);
            if metres.is_finite() && metres > 0.0 && !ignored { metres } else { 0.0 }
        })
    }

    /// A number whose bits of 16 are rotated, where the manifest says so.
    fn rotated(&self, value: f64) -> f64 {
        match self.rotate_right {
            0 => value,
            bits => f64::from((value as u16).rotate_right(bits)),
        }
    }

    fn normals(&self, vectors: &Array3<f64>) -> Fitted<Array3<f32>> {
        let (height, width, channels) = vectors.dim();
        if channels != 3 {
            return Err(Fault::new(
                "[height, width, 3]",
                format!("[{height}, {width}, {channels}]"),
            ));
        }
        let mut normals = Array3::zeros((height, width, 3));
        for (from, mut to) in vectors.rows().into_iter().zip(normals.rows_mut()) {
            let length = from.iter().map(|v| v * v).sum::<f64>().sqrt();
            if length.is_finite() && length > SHORTEST_NORMAL {
                (0..3).for_each(|c| to[c] = (from[c] / length) as f32 * self.signs[c]);
            }
        }
        Ok(normals)
    }

    fn category(&self, names: &[String]) -> Fitted<u32> {
        match names {
            [name] => self.class_named(name).map(|class| class as u32),
            _ => Err(Fault::new("1 class", format!("{} classes", names.len()))),
        }
    }

    fn tags(&self, names: &[String]) -> Fitted<Vec<bool>> {
        let mut flags = vec![false; self.classes.names().len()];
        for name in names {
            flags[self.class_named(name)?] = true;
        }
        Ok(flags)
    }

    fn named(&self, numbers: &[usize]) -> Fitted<Vec<String>> {
        let names = self.classes.names();
        let name = |number: &usize| {
            let wrong = || Fault::new(format!("a class below {}", names.len()), number.to_string());
            names.get(*number).cloned().ok_or_else(wrong)
        };
        numbers.iter().map(name).collect()
    }

    fn class_named(&self, name: &str) -> Fitted<usize> {
        let found = self.classes.names().iter().position(|class| class == name);
        let expected = || format!("one of [{}]", self.classes.names().join(", "));
        found.ok_or_else(|| Fault::new(expected(), name))
    }
}

impl Raw {
    fn describe(&self) -> &'static str {
        match self {
            Raw::Grid(_) | Raw::Bytes(_) => "one number per pixel",
            Raw::Vectors(_) => "several numbers per pixel",
            Raw::Colours(_) => "one colour per pixel",
            Raw::Maps(_) => "several maps",
            Raw::Parts(_) => "parts of objects",
            Raw::Names(_) => "names",
            Raw::Indices(_) => "numbers",
            Raw::Text(_) => "a text",
            Raw::Absent => "no label",
        }
    }
}
