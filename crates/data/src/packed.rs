//! Files that hold many samples each: shards of tar, tables of Parquet and Arrow, arrays of HDF5.
//!
//! A sample is a record of named parts, each some bytes: what is a file in a folder is a part here.

mod arrow;
mod braces;
mod features;
mod hdf5;
mod index;
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
    pub(crate) use super::arrow::fuzz as arrow;
    pub(crate) use super::parquet::fuzz as parquet;
    pub(crate) use super::webdataset::fuzz as webdataset;
}
