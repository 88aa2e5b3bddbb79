//! One shard, on disk or at an address.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::remote::{ReadSeek, RemoteShard};
use crate::Result;
use crate::decode::unreadable;

/// Where a shard is.
#[derive(Debug)]
pub(super) enum Shard {
    File(PathBuf),
    Remote(Box<RemoteShard>),
}

impl Shard {
    /// The file or address, for errors.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Remote(shard) => shard.path(),
        }
    }

    /// The shard from its beginning.
    pub(super) fn reader(&self) -> Result<Box<dyn ReadSeek>> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path).map_err(unreadable(path))?),
            Self::Remote(shard) => shard.reader()?,
        })
    }

    /// Some bytes of the shard: fewer where it is shorter.
    pub(super) fn bytes(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        let path = match self {
            Self::File(path) => path,
            Self::Remote(shard) => return shard.bytes(start, length),
        };
        let mut file = File::open(path).map_err(unreadable(path))?;
        file.seek(SeekFrom::Start(start)).map_err(unreadable(path))?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).map_err(unreadable(path))?;
        Ok(bytes)
    }
}
