//! Tables of Parquet, as Hugging Face's `datasets` and its hub keep them.
//!
//! A column is a part. Images are structures of `bytes` and `path`, of which the bytes are the part
//! of the column's name. A row is read alone; unpacked pages are held for its neighbours.

mod levels;
mod pages;
mod schema;
mod sound;
mod structures;
#[cfg(test)]
mod tests;
mod unpack;
mod values;

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parquet::column::reader::get_column_reader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use self::pages::{Chunk, PagedFile, Pages, Run};
use self::schema::{Leaf, Leaves, leaves};
use self::values::value;
use super::features::classes;
use super::records::Packed;
use super::remote::ReadSeek;
use super::shard::{self, OpenFiles, Shard, part, unread};
use super::starts::{place, starts};
use super::tables::{Table, Tables};
use super::thrift;
use crate::decode::damaged;
use crate::{Error, Result};

pub(super) const FORMAT: Packed = Packed {
    name: "parquet",
    endings: &["parquet"],
    image: "image;img;jpg;png",
    open: |files| {
        let (open, pages) = (Arc::<OpenFiles>::default(), Arc::default());
        let columns = files.iter().enumerate().map(|(number, path)| {
            Columns::opened(Shard::File(path.clone(), Arc::clone(&open)), number, &pages)
        });
        Tables::joined(columns.collect::<Result<_>>()?)
    },
    open_remote: Some(|addresses, remote| {
        let pages = Arc::default();
        let columns = shard::all(addresses, |number, address| {
            Columns::opened(Shard::Remote(Box::new(remote.shard(address)?)), number, &pages)
        });
        Tables::joined(columns?)
    }),
};

/// What a file that is refused should be.
const PARQUET: &str = "Parquet file";
/// Bytes behind the directory: its length, and the mark.
const END: u64 = 8;
const MARK: &[u8; 4] = b"PAR1";
/// Longest directory.
const MOST_DIRECTORY: u64 = 256 << 20;

#[derive(Debug)]
struct Columns {
    file: Arc<PagedFile>,
    metadata: ParquetMetaData,
    /// Rows before each row group, and all.
    starts: Vec<usize>,
    leaves: Leaves,
    /// Names of the classes of columns that are numbers of classes.
    classes: BTreeMap<String, Vec<String>>,
    /// The pages of each column in each row group, once they were looked for.
    chunks: Vec<OnceLock<Arc<Chunk>>>,
}

impl Table for Columns {
    const EXPECTED: &'static str = PARQUET;

    fn open(path: &Path) -> Result<Self> {
        Self::opened(Shard::File(path.to_owned(), Arc::default()), 0, &Arc::default())
    }

    fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn path(&self) -> &Path {
        self.file.shard.path()
    }

    fn size(&self) -> Result<u64> {
        self.file.shard.size()
    }

    fn length(&self, row: usize) -> u64 {
        let group = self.metadata.row_group(place(&self.starts, row).0);
        group.compressed_size().unsigned_abs() / group.num_rows().unsigned_abs().max(1)
    }

    fn parts(&self) -> Vec<String> {
        self.leaves.read.keys().cloned().collect()
    }

    fn unread(&self) -> Vec<(String, String)> {
        self.leaves.unread.clone()
    }

    fn read(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let Some(leaf) = self.leaves.read.get(part) else { return Ok(None) };
        self.value(row, leaf).map_err(|error| match error {
            ParquetError::External(error) => match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => damaged(self.path(), PARQUET, format!("{part}: {error}")),
            },
            error => damaged(self.path(), PARQUET, format!("{part}: {error}")),
        })
    }

    fn classes(&self, part: &str) -> Option<Vec<String>> {
        self.classes.get(part).cloned()
    }
}

impl Columns {
    fn opened(shard: Shard, number: usize, pages: &Arc<Pages>) -> Result<Self> {
        let path = shard.path();
        let wrong = |reason: String| damaged(path, PARQUET, reason);
        let directory = directory(shard.listing()?.as_mut(), path)?;
        thrift::check(&directory, structures::FILE).map_err(wrong)?;
        let metadata = ParquetMetaDataReader::decode_metadata(&directory);
        let metadata = metadata.map_err(|error| wrong(error.to_string()))?;
        let rows = metadata.row_groups().iter().map(|group| usize::try_from(group.num_rows()));
        let rows = rows.collect::<std::result::Result<Vec<usize>, _>>();
        let rows = rows.map_err(|_| wrong("a negative number of rows".to_owned()))?;
        let schema = metadata.file_metadata().schema_descr();
        let (leaves, classes) = (leaves(schema), classes(about(&metadata)));
        let count = schema.num_columns() * metadata.num_row_groups();
        let chunks = (0..count).map(|_| OnceLock::new()).collect();
        let file = Arc::new(PagedFile { shard, number, pages: Arc::clone(pages) });
        let starts = starts(rows.into_iter());
        Ok(Self { file, metadata, starts, leaves, classes, chunks })
    }

    fn value(&self, row: usize, leaf: &Leaf) -> parquet::errors::Result<Option<Vec<u8>>> {
        let (group, row) = place(&self.starts, row);
        let (run, skip) = Run::new(&self.file, &self.chunk(group, leaf.column)?, row)?;
        let column = self.metadata.row_group(group).column(leaf.column).column_descr_ptr();
        value(get_column_reader(column, Box::new(run)), skip, leaf)
    }

    fn chunk(&self, group: usize, column: usize) -> parquet::errors::Result<Arc<Chunk>> {
        let groups = self.metadata.row_group(group);
        let held = &self.chunks[group * groups.num_columns() + column];
        if let Some(chunk) = held.get() {
            return Ok(Arc::clone(chunk));
        }
        let chunk = Arc::new(self.file.chunk(groups.column(column))?);
        Ok(Arc::clone(held.get_or_init(|| chunk)))
    }
}

/// The directory, which stands in front of its own length and the mark at the end.
fn directory(file: &mut dyn ReadSeek, path: &Path) -> Result<Vec<u8>> {
    let wrong = |reason: &str| damaged(path, PARQUET, reason);
    let length = file.seek(SeekFrom::End(0)).map_err(unread(path))?;
    let end = part(file, length.saturating_sub(END), END).map_err(unread(path))?;
    let Some((size, MARK)) = end
        .split_first_chunk()
        .and_then(|(size, mark)| Some((u64::from(u32::from_le_bytes(*size)), mark.first_chunk()?)))
    else {
        return Err(wrong("expected PAR1 as its last bytes: the file was cut off, or is none"));
    };
    let Some(start) = (length - END).checked_sub(size) else {
        return Err(wrong("a directory that is longer than the file"));
    };
    if size > MOST_DIRECTORY {
        return Err(wrong("a directory of more than 256 MiB"));
    }
    part(file, start, size).map_err(unread(path))
}

/// The features that `datasets` writes into a file.
fn about(metadata: &ParquetMetaData) -> &str {
    let all = metadata.file_metadata().key_value_metadata();
    let own = all.into_iter().flatten().find(|pair| pair.key == "huggingface");
    own.and_then(|pair| pair.value.as_deref()).unwrap_or("{}")
}

/// Opens the bytes of a file, and reads them as a directory, for `benches/fuzz`.
///
/// # Errors
/// What is no such file.
#[cfg(feature = "fuzz")]
pub(super) fn fuzz(bytes: &[u8]) -> Result<Box<dyn super::Records>> {
    if thrift::check(bytes, structures::FILE).is_ok()
        && let Ok(metadata) = ParquetMetaDataReader::decode_metadata(bytes)
    {
        let _ = (leaves(metadata.file_metadata().schema_descr()), classes(about(&metadata)));
    }
    Tables::joined(vec![Columns::opened(Shard::Memory(bytes.into()), 0, &Arc::default())?])
}
