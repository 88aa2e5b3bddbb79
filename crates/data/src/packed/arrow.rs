//! Arrow's streams and files, as `save_to_disk` of Hugging Face's `datasets` writes them.
//!
//! A column is a part, as in Parquet. Batches are listed once; of a row only its own bytes are read.

mod columns;
mod values;

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow_ipc::{Message, Schema, root_as_message};

use self::columns::{Column, Columns, columns};
use self::values::{Batch, bytes, cut};
use super::features::classes;
use super::records::Packed;
use super::shard::{self, OpenFiles, Shard, unread};
use super::starts::{place, starts};
use super::tables::{Table, Tables};
use crate::Result;
use crate::decode::{Decoded, damaged};

pub(super) const FORMAT: Packed = Packed {
    name: "arrow",
    endings: &["arrow"],
    image: "image;img;jpg;png",
    open: |files| {
        let open = Arc::<OpenFiles>::default();
        let tables =
            files.iter().map(|path| Batches::opened(Shard::File(path.clone(), Arc::clone(&open))));
        Tables::joined(tables.collect::<Result<_>>()?)
    },
    open_remote: Some(|addresses, remote| {
        Tables::joined(shard::all(addresses, |_, address| {
            let shard = remote.shard(address)?;
            shard.require_kept()?;
            Batches::opened(Shard::Remote(Box::new(shard)))
        })?)
    }),
};

/// What a file that is refused should be.
const ARROW: &str = "Arrow file";
/// The first bytes of a file that is no bare stream, with their padding.
const MAGIC: &[u8] = b"ARROW1\0\0";
/// Longest description of a batch.
const MOST_HEADER: usize = 64 << 20;

#[derive(Debug)]
struct Batches {
    shard: Shard,
    listed: Listed,
}

/// What a file holds.
#[derive(Debug, Default)]
struct Listed {
    columns: Columns,
    classes: BTreeMap<String, Vec<String>>,
    batches: Vec<Batch>,
    /// Rows before each batch, and all.
    starts: Vec<usize>,
}

impl Table for Batches {
    const EXPECTED: &'static str = ARROW;

    fn open(path: &Path) -> Result<Self> {
        Self::opened(Shard::File(path.to_owned(), Arc::default()))
    }

    fn path(&self) -> &Path {
        self.shard.path()
    }

    fn rows(&self) -> usize {
        self.listed.starts.last().copied().unwrap_or(0)
    }

    fn size(&self) -> Result<u64> {
        self.shard.size()
    }

    fn length(&self, row: usize) -> u64 {
        let batch = &self.listed.batches[place(&self.listed.starts, row).0];
        let all = batch.buffers.iter().fold(0_u64, |all, (_, size)| all.saturating_add(*size));
        all / batch.rows.max(1) as u64
    }

    fn parts(&self) -> Vec<String> {
        self.listed.columns.read.iter().map(|column| column.part.clone()).collect()
    }

    fn unread(&self) -> Vec<(String, String)> {
        self.listed.columns.unread.clone()
    }

    fn read(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let column = self.listed.columns.read.iter().find(|column| column.part == part);
        column.map_or(Ok(None), |column| self.value(row, column))
    }

    fn classes(&self, part: &str) -> Option<Vec<String>> {
        self.listed.classes.get(part).cloned()
    }
}

impl Batches {
    fn opened(shard: Shard) -> Result<Self> {
        let listed = Listed::of(shard.listing()?);
        let listed = listed.map_err(|reason| damaged(shard.path(), ARROW, reason))?;
        Ok(Self { shard, listed })
    }

    fn value(&self, row: usize, column: &Column) -> Result<Option<Vec<u8>>> {
        let mut file = self.shard.reader()?;
        let length = file.seek(SeekFrom::End(0)).map_err(unread(self.path()))?;
        let (batch, row) = place(&self.listed.starts, row);
        let value = self.listed.batches[batch].value(&mut file, length, row, column);
        value.map_err(|reason| damaged(self.path(), ARROW, format!("{}: {reason}", column.part)))
    }
}

impl Listed {
    /// Lists the batches of a stream or file.
    fn of(mut file: impl Read + Seek) -> Decoded<Self> {
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
            if !self.batches.is_empty() {
                return Err("a second schema behind rows".to_owned());
            }
            self.columns = columns(&schema)?;
            self.classes = classes(metadata(&schema, "huggingface").unwrap_or("{}"));
        }
        let Some(batch) = message.header_as_record_batch() else { return Ok(()) };
        if batch.compression().is_some() {
            let reason = "compressed batches, which are not read: write them without compression, as \
                          save_to_disk does";
            return Err(reason.to_owned());
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
        if let Some(column) = self.columns.read.iter().find(|column| !whole(column)) {
            return Err(format!("column {}: fewer rows or buffers than its batch", column.part));
        }
        self.batches.push(Batch { rows, buffers });
        Ok(())
    }
}

fn metadata<'a>(schema: &Schema<'a>, key: &str) -> Option<&'a str> {
    let pairs = schema.custom_metadata()?;
    let found = pairs.iter().find(|pair| pair.key() == Some(key))?;
    found.value()
}

/// Opens the bytes of a file, for `benches/fuzz`.
///
/// # Errors
/// What is no such file.
#[cfg(feature = "fuzz")]
pub(super) fn fuzz(bytes: &[u8]) -> Result<Box<dyn super::Records>> {
    Tables::joined(vec![Batches::opened(Shard::Memory(bytes.into()))?])
}
