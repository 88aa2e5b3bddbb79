//! Tables of Parquet, as Hugging Face's `datasets` and its hub keep them.
//!
//! A column is a part. Images are structures of `bytes` and `path`, of which the bytes are the part
//! of the column's name. A row is read alone: pages before its own are passed over unopened.

use std::collections::BTreeMap;
use std::fs::File;
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
use super::records::{Packed, Records};
use super::starts::{place, starts};
use crate::Result;
use crate::decode::{damaged, unreadable};

pub(super) const FORMAT: Packed = Packed {
    name: "parquet",
    ending: "parquet",
    image: "image;img;jpg;png",
    open: |files| Ok(Box::new(Tables::open(files)?)),
};

/// What a file that is refused should be.
const PARQUET: &str = "Parquet file";

#[derive(Debug)]
struct Tables {
    files: Vec<Table>,
    /// Rows before each file, and all.
    starts: Vec<usize>,
}

#[derive(Debug)]
struct Table {
    path: PathBuf,
    metadata: Arc<ParquetMetaData>,
    /// Rows before each row group, and all.
    starts: Vec<usize>,
    /// Place of the column of each part.
    columns: BTreeMap<String, usize>,
    /// Names of the classes of columns that are numbers of classes.
    classes: BTreeMap<String, Vec<String>>,
}

impl Tables {
    fn open(files: &[PathBuf]) -> Result<Self> {
        let files: Vec<Table> =
            files.iter().map(|path| Table::open(path)).collect::<Result<_>>()?;
        if let Some(first) = files.first()
            && let Some(other) =
                files.iter().find(|file| !file.columns.keys().eq(first.columns.keys()))
        {
            let names =
                |table: &Table| table.columns.keys().cloned().collect::<Vec<_>>().join(", ");
            let reason = format!(
                "expected the columns {}, as {} has them, found {}",
                names(first),
                first.path.display(),
                names(other)
            );
            return Err(damaged(&other.path, PARQUET, reason));
        }
        let starts = starts(files.iter().map(Table::rows));
        Ok(Self { files, starts })
    }

    /// The file of a row, and its place in it.
    fn find(&self, index: usize) -> (&Table, usize) {
        let (file, row) = place(&self.starts, index);
        (&self.files[file], row)
    }
}

impl Table {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(unreadable(path))?;
        let wrong = |error: ParquetError| damaged(path, PARQUET, error.to_string());
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

    fn read(&self, row: usize, column: usize) -> Result<Option<Vec<u8>>> {
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
        let group = table.metadata.row_group(place(&table.starts, row).0);
        group.compressed_size().unsigned_abs() / group.num_rows().unsigned_abs().max(1)
    }

    fn parts(&self, index: usize) -> Vec<String> {
        self.find(index).0.columns.keys().cloned().collect()
    }

    fn read(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let (table, row) = self.find(index);
        let column = table.columns.get(part);
        column.map_or(Ok(None), |&column| table.read(row, column))
    }

    fn classes(&self, part: &str) -> Option<Vec<String>> {
        self.files.first()?.classes.get(part).cloned()
    }
}

/// Reads the directory of a table, for `benches/fuzz`; its pages are the crate's own affair.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(metadata) = parquet::file::metadata::ParquetMetaDataReader::decode_metadata(bytes) {
        let _ = (columns(&metadata), classes(about(&metadata)));
    }
}
