//! One shard, on disk or at an address.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::held::Held;
use super::remote::{ReadSeek, RemoteShard};
use crate::decode::unreadable;
use crate::{Error, Result};

/// Most files of a split that stay open.
const MOST_FILES: usize = 64;

/// Where a shard is.
#[derive(Debug)]
pub(super) enum Shard {
    File(PathBuf, Arc<OpenFiles>),
    Remote(Box<RemoteShard>),
    /// Bytes of `benches/fuzz`.
    #[cfg(feature = "fuzz")]
    Memory(Arc<[u8]>),
}

/// Files that stay open, so that not every value opens its own.
#[derive(Debug)]
pub(super) struct OpenFiles(Held<PathBuf, File>);

impl Default for OpenFiles {
    fn default() -> Self {
        Self(Held::new(MOST_FILES))
    }
}

impl Shard {
    /// The file or address, for errors.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path, _) => path,
            Self::Remote(shard) => shard.path(),
            #[cfg(feature = "fuzz")]
            Self::Memory(_) => Path::new("fuzz"),
        }
    }

    /// The shard from its beginning.
    pub(super) fn reader(&self) -> Result<Box<dyn ReadSeek>> {
        Ok(match self {
            Self::File(path, files) => {
                let open = || File::open(path).map_err(unreadable(path));
                Box::new(Placed { file: files.0.get(path, |_| 1, open)?, place: 0 })
            }
            Self::Remote(shard) => shard.reader()?,
            #[cfg(feature = "fuzz")]
            Self::Memory(bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
        })
    }

    /// The shard for what little says where everything is: of one at an address, parts alone are
    /// fetched.
    pub(super) fn listing(&self) -> Result<Box<dyn ReadSeek>> {
        match self {
            Self::Remote(shard) => shard.listing(),
            _ => self.reader(),
        }
    }

    /// Bytes of all of it.
    pub(super) fn size(&self) -> Result<u64> {
        self.listing()?.seek(SeekFrom::End(0)).map_err(unread(self.path()))
    }

    /// Some bytes of the shard: fewer where it is shorter.
    pub(super) fn bytes(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        if let Self::Remote(shard) = self {
            return shard.bytes(start, length);
        }
        part(self.reader()?.as_mut(), start, length).map_err(unread(self.path()))
    }
}

/// Bytes of what reads and seeks: fewer where it is shorter.
pub(super) fn part(from: &mut dyn ReadSeek, start: u64, length: u64) -> io::Result<Vec<u8>> {
    from.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The error of a shard that cannot be read: that of a server where there is one.
pub(super) fn unread(path: &Path) -> impl Fn(io::Error) -> Error {
    move |error| error.downcast::<Error>().unwrap_or_else(unreadable(path))
}

/// Opens shards at addresses side by side; of several errors the first one is reported.
pub(super) fn all<T: Send>(
    addresses: &[String],
    open: impl Fn(usize, &str) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let opened = addresses.par_iter().enumerate().map(|(number, address)| open(number, address));
    let opened: Vec<Result<T>> = opened.collect();
    opened.into_iter().collect()
}

/// A place in a file that others read too.
struct Placed {
    file: Arc<File>,
    place: u64,
}

impl Read for Placed {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = read_at(&self.file, to, self.place)?;
        self.place += count as u64;
        Ok(count)
    }
}

impl Seek for Placed {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
        };
        self.place = place.ok_or_else(|| io::Error::other("a place before the file begins"))?;
        Ok(self.place)
    }
}

#[cfg(unix)]
fn read_at(file: &File, to: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, to, place)
}

#[cfg(windows)]
fn read_at(file: &File, to: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, to, place)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_file_is_opened_once_for_all_its_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "0123456789").unwrap();
        let files = Arc::<OpenFiles>::default();
        let shard = Shard::File(path, Arc::clone(&files));
        let mut reader = shard.reader().unwrap();
        assert_eq!(reader.seek(SeekFrom::End(-3)).unwrap(), 7);
        assert_eq!(shard.bytes(2, 3).unwrap(), b"234");
        assert_eq!(shard.bytes(8, 3).unwrap(), b"89");
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "789");
        assert_eq!(files.0.made.load(Ordering::Relaxed), 1);
    }
}
