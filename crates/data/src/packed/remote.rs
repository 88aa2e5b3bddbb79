//! Shards at http(s) addresses: read by ranges, or kept whole in a bounded folder.
//!
//! Nothing here holds more than one block of [`MOST_BLOCK`](reader::MOST_BLOCK) bytes or one sample
//! in memory for each thread, however long a shard is.

mod cache;
mod client;
mod reader;
mod settings;
mod shard;
mod trust;

pub(crate) use self::settings::RemoteSettings;
pub(crate) use self::shard::{ReadSeek, Remote, RemoteShard};
pub use self::trust::tls_config;

/// Whether `name` is an address, not a path.
pub(crate) fn is_address(name: &str) -> bool {
    name.starts_with("http://") || name.starts_with("https://")
}
