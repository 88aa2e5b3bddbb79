//! Files that hold many samples each: shards of tar, tables of Parquet and Arrow, arrays of HDF5.
//!
//! A sample is a record of named parts, each some bytes: what is a file in a folder is a part here.

mod arrow;
mod braces;
mod features;
mod hdf5;
mod held;
mod index;
mod lists;
mod numbers;
mod parquet;
mod recent;
mod records;
mod remote;
mod shard;
mod starts;
mod tables;
#[cfg(test)]
mod tests;
mod thrift;
mod webdataset;

use std::path::Path;

pub(crate) use self::braces::expanded;
pub(crate) use self::records::{Packed, Records};
pub use self::remote::tls_config;
pub(crate) use self::remote::{Remote, RemoteSettings, is_address};
use crate::Result;

/// All formats of such files.
pub(crate) const FORMATS: [&Packed; 4] =
    [&webdataset::FORMAT, &parquet::FORMAT, &arrow::FORMAT, &hdf5::FORMAT];

/// The format of this name.
pub(crate) fn format_named(name: &str) -> Option<&'static Packed> {
    FORMATS.iter().copied().find(|format| format.name == name)
}

/// The list of the members of a shard of WebDataset, which stands beside it.
///
/// # Errors
/// A shard that cannot be read.
pub(crate) fn index_of(shard: &Path) -> Result<String> {
    webdataset::index_of(shard)
}

/// Every parser of such files, for `benches/fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz {
    use std::io::Write;
    use std::path::Path;

    pub(crate) use super::webdataset::fuzz as webdataset;
    use super::{Records, arrow, hdf5, parquet};
    use crate::Result;

    /// Most bytes of a row that is read.
    const MOST: u64 = 1 << 20;

    pub(crate) fn parquet(bytes: &[u8]) {
        rows(parquet::fuzz(bytes));
    }

    pub(crate) fn arrow(bytes: &[u8]) {
        rows(arrow::fuzz(bytes));
    }

    pub(crate) fn hdf5(bytes: &[u8]) {
        let _ = in_a_file(bytes, ".h5", |path| rows((hdf5::FORMAT.open)(&[path.to_owned()])));
    }

    /// Gives bytes to what reads files alone.
    pub(crate) fn in_a_file(
        bytes: &[u8],
        ending: &str,
        read: impl FnOnce(&Path),
    ) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().suffix(ending).tempfile()?;
        file.write_all(bytes)?;
        read(file.path());
        Ok(())
    }

    /// Reads the first rows.
    fn rows(records: Result<Box<dyn Records>>) {
        let Ok(records) = records else { return };
        for row in (0..records.len().min(8)).filter(|&row| records.length(row) <= MOST) {
            for part in records.parts(row).iter().take(16) {
                let _ = records.read(row, part);
            }
        }
    }
}
