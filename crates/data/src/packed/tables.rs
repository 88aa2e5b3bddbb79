//! Files of rows, one after the other: what Parquet, Arrow and HDF5 have in common.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use super::records::Records;
use super::starts::{place, starts};
use crate::Result;
use crate::decode::damaged;

/// A file of rows.
pub(super) trait Table: Debug + Send + Sync + Sized {
    /// What a file that is refused should be.
    const EXPECTED: &'static str;

    /// Lists what the file holds.
    ///
    /// # Errors
    /// A file that cannot be read, or is none of its kind.
    fn open(path: &Path) -> Result<Self>;

    fn path(&self) -> &Path;

    fn rows(&self) -> usize;

    /// Bytes of the file.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    fn size(&self) -> Result<u64>;

    /// Bytes of a row, as far as they are known without reading it.
    fn length(&self, row: usize) -> u64;

    /// Names of the columns.
    fn parts(&self) -> Vec<String>;

    /// Names and types of the columns that cannot be read.
    fn unread(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// The bytes of a row in a column; none where there is no such column.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it was.
    fn read(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>>;

    /// The bytes of a row in a column as those of an image file.
    ///
    /// # Errors
    /// As [`Table::read`], and a column that holds no images.
    fn image(&self, row: usize, part: &str) -> Result<Option<Vec<u8>>> {
        self.read(row, part)
    }

    /// Names of the classes whose numbers a column holds, where the file knows them.
    fn classes(&self, _part: &str) -> Option<Vec<String>> {
        None
    }
}

/// Files with the same columns.
#[derive(Debug)]
pub(super) struct Tables<T> {
    files: Vec<T>,
    /// Rows before each file, and all.
    starts: Vec<usize>,
}

impl<T: Table + 'static> Tables<T> {
    /// # Errors
    /// A file that cannot be read or is none of its kind, and as [`Tables::joined`].
    pub(super) fn open(paths: &[PathBuf]) -> Result<Box<dyn Records>> {
        Self::joined(paths.iter().map(|path| T::open(path)).collect::<Result<_>>()?)
    }

    /// Files that are open.
    ///
    /// # Errors
    /// One that claims more rows than it has bytes, or has other columns than the first.
    pub(super) fn joined(files: Vec<T>) -> Result<Box<dyn Records>> {
        files.iter().try_for_each(bounded)?;
        check_columns(&files)?;
        let starts = starts(files.iter().map(T::rows));
        Ok(Box::new(Self { files, starts }))
    }

    /// The file of a row, and its place in it.
    fn find(&self, index: usize) -> (&T, usize) {
        let (file, row) = place(&self.starts, index);
        (&self.files[file], row)
    }
}

/// Refuses a file that claims more rows than it has bytes, since every row is held in memory by name:
/// each has an image, of one byte at least.
fn bounded<T: Table>(table: &T) -> Result<()> {
    let (rows, bytes) = (table.rows(), table.size()?);
    if rows as u64 <= bytes {
        return Ok(());
    }
    Err(damaged(table.path(), T::EXPECTED, format!("claims {rows} rows in {bytes} bytes")))
}

fn check_columns<T: Table>(files: &[T]) -> Result<()> {
    let Some((first, others)) = files.split_first() else { return Ok(()) };
    let expected = first.parts();
    let Some(other) = others.iter().find(|file| file.parts() != expected) else { return Ok(()) };
    let reason = format!(
        "expected the columns {}, as {} has them, found {}",
        expected.join(", "),
        first.path().display(),
        other.parts().join(", ")
    );
    Err(damaged(other.path(), T::EXPECTED, reason))
}

impl<T: Table + 'static> Records for Tables<T> {
    fn len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    fn key(&self, index: usize) -> String {
        let (table, row) = self.find(index);
        let stem = table.path().file_stem().unwrap_or_default().to_string_lossy();
        format!("{stem}-{row:06}")
    }

    fn path(&self, index: usize) -> &Path {
        self.find(index).0.path()
    }

    fn length(&self, index: usize) -> u64 {
        let (table, row) = self.find(index);
        table.length(row)
    }

    fn parts(&self, index: usize) -> Vec<String> {
        self.find(index).0.parts()
    }

    fn unread(&self) -> Vec<(String, String)> {
        self.files.first().map(T::unread).unwrap_or_default()
    }

    fn read(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let (table, row) = self.find(index);
        table.read(row, part)
    }

    fn image(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let (table, row) = self.find(index);
        table.image(row, part)
    }

    fn classes(&self, part: &str) -> Option<Vec<String>> {
        self.files.first()?.classes(part)
    }
}
