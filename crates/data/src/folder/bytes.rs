//! Labels whose stored numbers are bytes: what each of 256 numbers means is asked once, and pixels
//! are looked up.

use ndarray::Array2;

use super::entry::TaskEntry;
use super::format::Raw;
use super::label::people;
use crate::check::Fault;
use crate::{Label, TaskKind};

/// Set in a table of classes for numbers that mean nothing.
const UNKNOWN: u16 = 1 << 8;

impl TaskEntry {
    /// As [`TaskEntry::label`] of the same numbers in wide form.
    pub(crate) fn label_of_bytes(&self, map: Array2<u8>) -> Result<Option<Label>, Fault> {
        match self.kind {
            TaskKind::Semseg | TaskKind::HumanParts => self.classes_of_bytes(map),
            TaskKind::Sal => Ok(Some(Label::Binary(looked_up(map, &self.binary(&numbers()))))),
            TaskKind::Edge if !self.region_boundaries => {
                Ok(Some(Label::Edges(vec![looked_up(map, &self.binary(&numbers()))])))
            }
            _ => self.label(Raw::Grid(map.mapv(f64::from))),
        }
    }

    fn classes_of_bytes(&self, map: Array2<u8>) -> Result<Option<Label>, Fault> {
        let listed = self.class_map();
        let class = |&value: &f64| self.class(value, &listed).map_or(UNKNOWN, u16::from);
        let table: [u16; 256] = std::array::from_fn(|value| class(&(value as f64)));
        let mut seen = 0;
        let classes = map.mapv(|value| {
            let class = table[usize::from(value)];
            seen |= class;
            class as u8
        });
        match (seen & UNKNOWN, self.kind) {
            (0, TaskKind::HumanParts) => Ok(people(classes)),
            (0, _) => Ok(Some(Label::Classes(classes))),
            // The plain way says where.
            _ => self.label(Raw::Grid(map.mapv(f64::from))),
        }
    }
}

/// Every number that a byte can hold, in order.
fn numbers() -> Array2<f64> {
    Array2::from_shape_fn((1, 1 << 8), |(_, value)| value as f64)
}

fn looked_up(map: Array2<u8>, table: &Array2<u8>) -> Array2<u8> {
    let table: [u8; 256] = std::array::from_fn(|value| table[[0, value]]);
    map.mapv_into(|value| table[usize::from(value)])
}
