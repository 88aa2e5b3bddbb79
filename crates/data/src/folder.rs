//! A data set that is a folder, described by a manifest.

mod boundaries;
mod bytes;
mod class_list;
mod classes;
mod dataset;
mod described;
mod entry;
mod entry_checks;
mod field_error;
mod format;
mod fraction;
mod images;
mod inspect;
mod keys;
mod label;
mod label_location;
mod labels;
mod manifest;
mod masked;
mod natural;
mod parts;
mod pattern;
mod picture;
mod read_manifest;
mod record;
mod root;
mod samples;
mod schema;
mod settings;
mod shipped;
mod similar_names;
mod split;
mod split_context;
mod table;
mod unmatched;
mod unread_keys;

pub use self::boundaries::region_boundaries;
pub use self::dataset::FolderDataset;
pub use self::described::split_sizes;
pub(crate) use self::inspect::Inspection;
pub(crate) use self::manifest::{Manifest, Variant};
pub(crate) use self::picture::Frame;
pub use self::root::Root;
pub(crate) use self::root::outside;
pub use self::schema::manifest_schema;
pub use self::shipped::shipped_manifest;
pub(crate) use self::similar_names::head;
pub(crate) use self::table::read as read_table;

#[cfg(test)]
mod tests;
