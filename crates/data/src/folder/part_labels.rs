//! Labels that are parts of records.

use std::collections::HashSet;
use std::sync::Arc;

use ndarray::Array2;

use super::entry::TaskEntry;
use super::field_error::refused;
use super::format::{FileFormat, Format};
use super::index_file::SplitLabels;
use super::masked::masked;
use super::raw::Raw;
use crate::decode::damaged;
use crate::packed::Records;
use crate::{Label, Result};

/// Labels of one task.
#[derive(Debug)]
pub(super) struct PartLabels {
    entry: TaskEntry,
    records: Arc<dyn Records>,
    /// Records of the split.
    rows: Vec<usize>,
    /// The task as each part of labels is read, searched in this order.
    places: Vec<(TaskEntry, FileFormat)>,
    mask: Option<(String, FileFormat, HashSet<i64>)>,
}

impl PartLabels {
    /// The labels of `task` in `rows` of `records`.
    ///
    /// # Errors
    /// Parts of which no record has one.
    pub(super) fn open(
        origin: &str,
        task: &TaskEntry,
        records: &Arc<dyn Records>,
        rows: &[usize],
    ) -> Result<Self> {
        let file = |format: &Format| match format {
            Format::File(format) => Some(format.clone()),
            _ => None,
        };
        let place = |entry: TaskEntry| file(&entry.format).map(|format| (entry, format));
        let places: Vec<_> = task.places().filter_map(place).collect();
        let has = |row: &usize| {
            let parts = records.parts(*row);
            places.iter().any(|(entry, _)| parts.contains(&entry.label))
        };
        if !rows.iter().any(has) {
            let there = rows.first().map_or_else(|| "[]".to_owned(), |&row| records.there(row));
            let expected = format!("parts of records, which are {there}");
            let key = format!("tasks.{}.label", task.name);
            return Err(refused(origin, &key, expected, &task.label));
        }
        let mask = task.mask.as_ref().and_then(|mask| {
            let values = mask.values.iter().copied().collect();
            Some((mask.label.clone(), file(&mask.format)?, values))
        });
        let (entry, records, rows) = (task.clone(), records.clone(), rows.to_vec());
        Ok(Self { entry, records, rows, places, mask })
    }

    fn read(&self, row: usize, part: &str, format: &FileFormat) -> Result<Option<Raw>> {
        let Some(bytes) = self.records.read(row, part)? else { return Ok(None) };
        format.parse(&bytes, &self.records.place(row, part)).map(Some)
    }

    fn mask(&self, row: usize) -> Result<Option<(Array2<f64>, &HashSet<i64>)>> {
        let Some((part, format, values)) = &self.mask else { return Ok(None) };
        let place = self.records.place(row, part);
        match self.read(row, part, format)? {
            Some(Raw::Grid(map)) => Ok(Some((map, values))),
            Some(Raw::Bytes(map)) => Ok(Some((map.mapv(f64::from), values))),
            Some(_) => Err(damaged(&place, "mask", "several numbers per pixel, expected 1")),
            None => Err(damaged(&place, "mask", "no such part")),
        }
    }
}

impl SplitLabels for PartLabels {
    fn place(&self, index: usize) -> String {
        self.records.place(self.rows[index], &self.entry.label).display().to_string()
    }

    fn label(&self, index: usize) -> Result<Option<Label>> {
        let row = self.rows[index];
        for (entry, format) in &self.places {
            let Some(raw) = self.read(row, &entry.label, format)? else { continue };
            let mask = self.mask(row)?;
            let label = entry.label(raw).and_then(|label| match (label, mask) {
                (Some(label), Some((map, values))) => {
                    entry.unless_void(masked(label, &map, values))
                }
                (Some(label), None) => entry.unless_void(label),
                (None, _) => Ok(None),
            });
            let place = self.records.place(row, &entry.label).display().to_string();
            return label.map_err(|fault| fault.of(&place, &entry.name));
        }
        Ok(None)
    }
}
