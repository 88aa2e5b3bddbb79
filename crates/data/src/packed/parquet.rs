//! Tables of Parquet, as Hugging Face's `datasets` and its hub keep them.
//!
//! A column is a part. Images are structures of `bytes` and `path`, of which the bytes are the part
//! of the column's name. A row is read alone: pages before its own are passed over unopened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{SerializedFileReader, SerializedPageReader};

use super::features::classes;
use super::records::Packed;
use super::starts::{place, starts};
use super::tables::{Table, Tables};
use super::thrift;
use crate::Result;
use crate::decode::{damaged, unreadable};

pub(super) const FORMAT: Packed = Packed {
    name: "parquet",
    ending: "parquet",
    image: "image;img;jpg;png",
    open: |files| Tables::<Columns>::open(files),
    open_remote: None,
};

/// What a file that is refused should be.
const PARQUET: &str = "Parquet file";
/// Bytes behind the directory: its length, and the mark.
const END: u64 = 8;
const MARK: &[u8; 4] = b"PAR1";

#[derive(Debug)]
struct Columns {
    path: PathBuf,
    metadata: Arc<ParquetMetaData>,
    /// Rows before each row group, and all.
    starts: Vec<usize>,
    /// Place of the column of each part.
    columns: BTreeMap<String, usize>,
    /// Names of the classes of columns that are numbers of classes.
    classes: BTreeMap<String, Vec<String>>,
}

impl Table for Columns {
    const EXPECTED: &'static str = PARQUET;

    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(unreadable(path))?;
        let wrong = |error: ParquetError| damaged(path, PARQUET, error.to_string());
        check(&file, path)?;
        let metadata = SerializedFileReader::new(file).map_err(wrong)?.metadata().clone();
        let rows = metadata.row_groups().iter().map(|group| usize::try_from(group.num_rows()));
        let rows = rows.collect::<std::result::Result<Vec<usize>, _>>();
        let rows = rows.map_err(|_| damaged(path, PARQUET, "a negative number of rows"))?;
        let columns = columns(&metadata);
        let classes = classes(about(&metadata));
        let starts = starts(rows.into_iter());
        Ok(Self { path: path.to_owned(), metadata: Arc::new(metadata), starts, columns, classes })
    }

    fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn length(&self, row: usize) -> u64 {
        let group = self.metadata.row_group(place(&self.starts, row).0);
        group.compressed_size().unsigned_abs() / group.num_rows().unsigned_abs().max(1)
    }

    fn parts(&self) -> Vec<String> {
        self.columns.keys().cloned().collect()
    }

    fn read(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let column = self.columns.get(part);
        column.map_or(Ok(None), |&column| self.value(row, column))
    }

    fn classes(&self, part: &str) -> Option<Vec<String>> {
        self.classes.get(part).cloned()
    }
}

impl Columns {
    fn value(&self, row: usize, column: usize) -> Result<Option<Vec<u8>>> {
        let file = File::open(&self.path).map_err(unreadable(&self.path))?;
        let (group, row) = place(&self.starts, row);
        let group = self.metadata.row_group(group);
        let rows = group.num_rows().unsigned_abs() as usize;
        let read = || {
            let pages =
                SerializedPageReader::new(Arc::new(file), group.column(column), rows, None)?;
            value(get_column_reader(group.column(column).column_descr_ptr(), Box::new(pages)), row)
        };
        read().map_err(|error| damaged(&self.path, PARQUET, error.to_string()))
    }
}

/// Checks the lengths within the directory, which stands in front of its own length and the mark at
/// the end; whatever else is wrong with a file the crate says better.
fn check(mut file: &File, path: &Path) -> Result<()> {
    let length = file.metadata().map_err(unreadable(path))?.len();
    let mut end = [0; END as usize];
    if length < END {
        return Ok(());
    }
    file.seek(SeekFrom::Start(length - END)).map_err(unreadable(path))?;
    file.read_exact(&mut end).map_err(unreadable(path))?;
    let [a, b, c, d, mark @ ..] = end;
    let directory = u64::from(u32::from_le_bytes([a, b, c, d]));
    if mark != *MARK || directory > length - END {
        return Ok(());
    }
    file.seek(SeekFrom::Start(length - END - directory)).map_err(unreadable(path))?;
    let mut bytes = Vec::new();
    file.take(directory).read_to_end(&mut bytes).map_err(unreadable(path))?;
    thrift::check(&bytes).map_err(|reason| damaged(path, PARQUET, reason))
}

/// Columns without lists, by the names of their parts.
fn columns(metadata: &ParquetMetaData) -> BTreeMap<String, usize> {
    let schema = metadata.file_metadata().schema_descr();
    let single = schema.columns().iter().enumerate().filter(|(_, column)| {
        column.max_rep_level() == 0
            && matches!(
                column.physical_type(),
                Type::BYTE_ARRAY | Type::INT32 | Type::INT64 | Type::BOOLEAN
            )
    });
    let name = |path: String| match path.strip_suffix(".bytes") {
        Some(column) => column.to_owned(),
        None => path,
    };
    single.map(|(place, column)| (name(column.path().string()), place)).collect()
}

/// The features that `datasets` writes into a file.
fn about(metadata: &ParquetMetaData) -> &str {
    let all = metadata.file_metadata().key_value_metadata();
    let own = all.into_iter().flatten().find(|pair| pair.key == "huggingface");
    own.and_then(|pair| pair.value.as_deref()).unwrap_or("{}")
}

/// The value in `row`; numbers as their digits, none where there is none.
fn value(column: ColumnReader, row: usize) -> parquet::errors::Result<Option<Vec<u8>>> {
    Ok(match column {
        ColumnReader::ByteArrayColumnReader(column) => {
            one(column, row)?.map(|bytes| bytes.data().to_vec())
        }
        ColumnReader::Int32ColumnReader(column) => digits(one(column, row)?),
        ColumnReader::Int64ColumnReader(column) => digits(one(column, row)?),
        ColumnReader::BoolColumnReader(column) => digits(one(column, row)?.map(u8::from)),
        _ => None,
    })
}

fn digits(value: Option<impl ToString>) -> Option<Vec<u8>> {
    value.map(|value| value.to_string().into_bytes())
}

fn one<T: DataType>(
    mut column: ColumnReaderImpl<T>,
    row: usize,
) -> parquet::errors::Result<Option<T::T>> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let skipped = column.skip_records(row)?;
    let (read, ..) = column.read_records(1, Some(&mut levels), None, &mut values)?;
    if (skipped, read) != (row, 1) {
        return Err(ParquetError::EOF(format!("expected row {row} of a group, found {skipped}")));
    }
    Ok(values.pop())
}

/// Reads the directory of a table, for `benches/fuzz`; its pages are the crate's own affair.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8]) {
    if thrift::check(bytes).is_err() {
        return;
    }
    if let Ok(metadata) = parquet::file::metadata::ParquetMetaDataReader::decode_metadata(bytes) {
        let _ = (columns(&metadata), classes(about(&metadata)));
    }
}
