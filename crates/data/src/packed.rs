//! Files that hold many samples each: shards of tar, tables of Parquet and Arrow.
//!
//! A sample is a record of named parts, each some bytes: what is a file in a folder is a part here.

mod arrow;
mod braces;
mod features;
mod parquet;
mod records;
mod starts;
#[cfg(test)]
mod tests;
mod webdataset;

pub(crate) use self::braces::expanded;
pub(crate) use self::records::{Packed, Records};

/// All formats of such files.
pub(crate) const FORMATS: [&Packed; 3] = [&webdataset::FORMAT, &parquet::FORMAT, &arrow::FORMAT];

/// The format of this name.
pub(crate) fn format_named(name: &str) -> Option<&'static Packed> {
    FORMATS.iter().copied().find(|format| format.name == name)
}

/// Every parser of such files, for `benches/fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz {
    pub(crate) use super::arrow::fuzz as arrow;
    pub(crate) use super::parquet::fuzz as parquet;
    pub(crate) use super::webdataset::fuzz as webdataset;
}
