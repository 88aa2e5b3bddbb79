//! `metrics.csv`: the numbers of `metrics.jsonl` as spreadsheets read them.
//!
//! One row for every line of `metrics.jsonl` with numbers, one column for every name; a cell is
//! empty where the line has no such number. A column that comes up later, such as those of the
//! first evaluation, is added to the rows that are there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use crate::error::io;
use crate::{Error, Result};

/// The first column.
const STEP: &str = "step";

/// Appends rows to a CSV file.
#[derive(Debug)]
pub(super) struct CsvLog {
    path: PathBuf,
    /// Names of the columns behind the first.
    columns: Vec<String>,
    file: Option<File>,
}

impl CsvLog {
    /// Goes on behind `step`: rows of later steps, and one that a cut has left, are dropped.
    pub(super) fn open(path: PathBuf, step: u64) -> Result<Self> {
        let mut log = Self { path, columns: Vec::new(), file: None };
        if log.path.exists() {
            let (columns, mut rows) = log.read()?;
            rows.retain(|row| row[0].parse::<u64>().is_ok_and(|at| at <= step));
            log.columns = columns;
            log.rewrite(&rows)?;
        }
        Ok(log)
    }

    /// Appends one row.
    pub(super) fn write(&mut self, step: u64, numbers: &[(String, f64)]) -> Result<()> {
        let known = self.columns.len();
        let new = numbers.iter().map(|(name, _)| name);
        let new: Vec<String> = new.filter(|name| !self.columns.contains(name)).cloned().collect();
        self.columns.extend(new);
        if self.columns.len() > known {
            let rows = if self.path.exists() { self.read()?.1 } else { Vec::new() };
            self.rewrite(&rows)?;
        }
        let mut row = vec![String::new(); self.columns.len() + 1];
        row[0] = step.to_string();
        for (name, value) in numbers {
            let place = self.columns.iter().position(|column| column == name);
            row[place.map_or(0, |place| place + 1)] = value.to_string();
        }
        self.append(&row)
    }

    fn append(&mut self, row: &[String]) -> Result<()> {
        let bytes = rows_as_bytes(row.len(), std::iter::once(row)).map_err(io(&self.path))?;
        let path = &self.path;
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                none.insert(file.map_err(io(path))?)
            }
        };
        file.write_all(&bytes).map_err(io(path))
    }

    /// Names and whole rows; a row of another length is what a cut has left.
    fn read(&self) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        let wrong =
            |e: csv::Error| Error::Io { path: self.path.clone(), source: std::io::Error::other(e) };
        let reader = csv::ReaderBuilder::new().flexible(true).from_path(&self.path);
        let mut reader = reader.map_err(wrong)?;
        let columns: Vec<String> =
            reader.headers().map_err(wrong)?.iter().skip(1).map(str::to_owned).collect();
        let mut rows = Vec::new();
        for row in reader.records() {
            let Ok(row) = row else { break };
            if row.len() == columns.len() + 1 {
                rows.push(row.iter().map(str::to_owned).collect());
            }
        }
        Ok((columns, rows))
    }

    /// Writes all of it aside and gives it its name.
    fn rewrite(&mut self, rows: &[Vec<String>]) -> Result<()> {
        self.file = None;
        let head = std::iter::once(STEP.to_owned()).chain(self.columns.iter().cloned());
        let head: Vec<String> = head.collect();
        let all = std::iter::once(&head[..]).chain(rows.iter().map(Vec::as_slice));
        let bytes = rows_as_bytes(head.len(), all).map_err(io(&self.path))?;
        Ok(polyptych_formats::file::write_aside(&self.path, &bytes)?)
    }
}

/// Rows as CSV, each with empty cells up to `columns`.
fn rows_as_bytes<'a>(
    columns: usize,
    rows: impl Iterator<Item = &'a [String]>,
) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        let missing = columns.saturating_sub(row.len());
        let cells = row.iter().map(String::as_str).chain(std::iter::repeat_n("", missing));
        writer.write_record(cells)?;
    }
    writer.into_inner().map_err(|e| std::io::Error::other(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(all: &[(&str, f64)]) -> Vec<(String, f64)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn a_column_that_comes_later_is_empty_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut log = CsvLog::open(path.clone(), 0).unwrap();
        log.write(1, &numbers(&[("lr", 0.5), ("loss/a, b", 2.0)])).unwrap();
        log.write(2, &numbers(&[("loss/a, b", 1.0)])).unwrap();
        log.write(2, &numbers(&[("miou", 40.0)])).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "step,lr,\"loss/a, b\",miou\n1,0.5,2,\n2,,1,\n2,,,40\n");
    }

    #[test]
    fn rows_behind_the_checkpoint_and_cut_rows_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let mut log = CsvLog::open(path.clone(), 0).unwrap();
        for step in 1..=3 {
            log.write(step, &numbers(&[("a", 1.0), ("b", 2.0)])).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap() + "2,1";
        std::fs::write(&path, text).unwrap();
        let mut log = CsvLog::open(path.clone(), 2).unwrap();
        log.write(3, &numbers(&[("b", 5.0)])).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "step,a,b\n1,1,2\n2,1,2\n3,,5\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let mut log = CsvLog::open("/no/such/folder/metrics.csv".into(), 0).unwrap();
        let message = log.write(1, &numbers(&[("a", 1.0)])).unwrap_err().to_string();
        assert!(message.contains("/no/such/folder/metrics.csv"), "{message}");
    }
}
