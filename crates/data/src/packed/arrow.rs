//! Arrow's streams and files, as `save_to_disk` of Hugging Face's `datasets` writes them.
//!
//! A column is a part, as in Parquet. Batches are listed once; of a row only its own bytes are read.

mod columns;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow_ipc::{Message, Schema, root_as_message};

use self::columns::{Column, columns};
use self::values::{Batch, bytes, cut};
use super::features::classes;
use super::records::{Packed, Records};
use super::starts::{place, starts};
use crate::Result;
use crate::decode::{Decoded, damaged, unreadable};

pub(super) const FORMAT: Packed = Packed {
    name: "arrow",
    ending: "arrow",
    image: "image;img;jpg;png",
    open: |files| Ok(Box::new(Tables::open(files)?)),
};

/// What a file that is refused should be.
const ARROW: &str = "Arrow file";
/// The first bytes of a file that is no bare stream, with their padding.
const MAGIC: &[u8] = b"ARROW1\0\0";
/// Longest description of a batch.
const MOST_HEADER: usize = 64 << 20;

#[derive(Debug)]
struct Tables {
    files: Vec<Table>,
    /// Rows before each file, and all.
    starts: Vec<usize>,
}

#[derive(Debug, Default)]
struct Table {
    path: PathBuf,
    columns: Vec<Column>,
    classes: BTreeMap<String, Vec<String>>,
    batches: Vec<Batch>,
    /// Rows before each batch, and all.
    starts: Vec<usize>,
}

impl Tables {
    fn open(files: &[PathBuf]) -> Result<Self> {
        let files: Vec<Table> =
            files.iter().map(|path| Table::open(path)).collect::<Result<_>>()?;
        let names = |table: &Table| {
            table.columns.iter().map(|column| column.part.clone()).collect::<Vec<_>>()
        };
        if let Some(first) = files.first()
            && let Some(other) = files.iter().find(|file| names(file) != names(first))
        {
            let reason = format!(
                "expected the columns {}, as {} has them, found {}",
                names(first).join(", "),
                first.path.display(),
                names(other).join(", ")
            );
            return Err(damaged(&other.path, ARROW, reason));
        }
        let starts = starts(files.iter().map(|file| file.starts.last().copied().unwrap_or(0)));
        Ok(Self { files, starts })
    }

    fn find(&self, index: usize) -> (&Table, usize) {
        let (file, row) = place(&self.starts, index);
        (&self.files[file], row)
    }
}

impl Table {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(unreadable(path))?;
        let mut table = Self::listed(file).map_err(|reason| damaged(path, ARROW, reason))?;
        table.path = path.to_owned();
        Ok(table)
    }

    /// Lists the batches of a stream or file.
    fn listed(mut file: impl Read + Seek) -> Decoded<Self> {
        let said = |error: std::io::Error| error.to_string();
        let length = file.seek(SeekFrom::End(0)).map_err(said)?;
        let mut place = 0;
        let mut table = Self::default();
        let mut first = true;
        loop {
            let head = bytes(&mut file, place, 8, length)?;
            if first && head == MAGIC {
                place += 8;
                continue;
            }
            let [a, b, c, d, rest @ ..] = &head[..] else { return Err(cut()) };
            if [*a, *b, *c, *d] != [0xff; 4] {
                return Err("expected a message of Arrow's format 1.0 or later".to_owned());
            }
            let size = rest.try_into().map_or(0, u32::from_le_bytes) as usize;
            place += 8;
            if size == 0 {
                break;
            }
            if size > MOST_HEADER {
                return Err(format!("a message of {size} bytes, expected at most {MOST_HEADER}"));
            }
            let text = bytes(&mut file, place, size, length)?;
            let message = root_as_message(&text).map_err(|error| error.to_string())?;
            place += size as u64;
            let body = u64::try_from(message.bodyLength()).map_err(|_| "a body below 0 bytes")?;
            if place.checked_add(body).is_none_or(|end| end > length) {
                return Err(cut());
            }
            table.note(&message, place, body)?;
            (place, first) = (place + body, false);
        }
        if first {
            return Err("expected a schema, found none".to_owned());
        }
        table.starts = starts(table.batches.iter().map(|batch| batch.rows));
        Ok(table)
    }

    fn note(&mut self, message: &Message, start: u64, length: u64) -> Decoded<()> {
        if let Some(schema) = message.header_as_schema() {
            self.columns = columns(&schema)?;
            self.classes = classes(metadata(&schema, "huggingface").unwrap_or("{}"));
        }
        let Some(batch) = message.header_as_record_batch() else { return Ok(()) };
        if batch.compression().is_some() {
            return Err("compressed batches, which are not read".to_owned());
        }
        let rows = usize::try_from(batch.length()).map_err(|_| "a batch below 0 rows")?;
        let inside = |buffer: &arrow_ipc::Buffer| {
            let [from, size] = [buffer.offset(), buffer.length()].map(|v| u64::try_from(v).ok());
            let (from, size) = (from?, size?);
            (from.checked_add(size)? <= length).then_some((start + from, size))
        };
        let buffers = batch.buffers().into_iter().flatten().map(inside).collect();
        let buffers: Option<Vec<(u64, u64)>> = buffers;
        let buffers = buffers.ok_or("a buffer outside of its batch")?;
        let nodes = batch.nodes().into_iter().flatten().map(|node| node.length());
        let nodes: Vec<i64> = nodes.collect();
        let whole = |column: &Column| {
            nodes.get(column.node) == Some(&batch.length())
                && column.values + column.kind.buffers() <= buffers.len()
        };
        if let Some(column) = self.columns.iter().find(|column| !whole(column)) {
            return Err(format!("column {}: fewer rows or buffers than its batch", column.part));
        }
        self.batches.push(Batch { rows, buffers });
        Ok(())
    }

    fn read(&self, row: usize, column: &Column) -> Result<Option<Vec<u8>>> {
        let mut file = File::open(&self.path).map_err(unreadable(&self.path))?;
        let length = file.metadata().map_err(unreadable(&self.path))?.len();
        let (batch, row) = place(&self.starts, row);
        let value = self.batches[batch].value(&mut file, length, row, column);
        value.map_err(|reason| damaged(&self.path, ARROW, format!("{}: {reason}", column.part)))
    }
}

fn metadata<'a>(schema: &Schema<'a>, key: &str) -> Option<&'a str> {
    let pairs = schema.custom_metadata()?;
    let found = pairs.iter().find(|pair| pair.key() == Some(key))?;
    found.value()
}

impl Records for Tables {
    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn key(&self, index: usize) -> String {
        let (table, row) = self.find(index);
        let stem = table.path.file_stem().unwrap_or_default().to_string_lossy();
        format!("{stem}-{row:06}")
    }

    fn path(&self, index: usize) -> &Path {
        &self.find(index).0.path
    }

    fn length(&self, index: usize) -> u64 {
        let (table, row) = self.find(index);
        let batch = &table.batches[place(&table.starts, row).0];
        let all: u64 = batch.buffers.iter().map(|(_, size)| size).sum();
        all / batch.rows.max(1) as u64
    }

    fn parts(&self, index: usize) -> Vec<String> {
        self.find(index).0.columns.iter().map(|column| column.part.clone()).collect()
    }

    fn read(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let (table, row) = self.find(index);
        let column = table.columns.iter().find(|column| column.part == part);
        column.map_or(Ok(None), |column| table.read(row, column))
    }

    fn classes(&self, part: &str) -> Option<Vec<String>> {
        self.files.first()?.classes.get(part).cloned()
    }
}

/// Lists the batches of a stream and reads the first row, for `benches/fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let mut file = std::io::Cursor::new(bytes);
    let Ok(table) = Table::listed(&mut file) else { return };
    for (batch, column) in table.batches.iter().filter(|b| b.rows > 0).zip(table.columns.iter()) {
        let _ = batch.value(&mut file, bytes.len() as u64, 0, column);
    }
}
