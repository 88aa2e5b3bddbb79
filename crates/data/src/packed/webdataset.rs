//! Shards of WebDataset: tar files whose members of one name are one sample.
//!
//! `dir/7.seg.png` is the part `seg.png` of the sample `dir/7`; members of a sample stand one behind
//! the other. The members of every shard are listed once, so that samples are read in any order,
//! each of them once in an epoch. Of a shard at an address, a sample is fetched at once.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::index::{self, BLOCK, Member, parted};
use super::recent::Recent;
use super::records::{Packed, Records};
use super::remote::Remote;
use super::shard::{self, OpenFiles, Shard, unread};
use crate::decode::{MAX_BYTES, damaged};
use crate::{Error, Result};

pub(super) const FORMAT: Packed = Packed {
    name: "webdataset",
    endings: &["tar"],
    image: "jpg;jpeg;png;webp;tif;tiff;bmp",
    open: |paths| {
        let open = Arc::default();
        let shards = paths.iter().map(|path| local(path, &open)).collect::<Result<_>>()?;
        Ok(Box::new(Shards::joined(shards)?))
    },
    open_remote: Some(|addresses, remote| {
        let shards = shard::all(addresses, |_, address| at_address(address, remote))?;
        Ok(Box::new(Shards::joined(shards)?))
    }),
};

/// What a file that is refused should be.
const TAR: &str = "tar shard";
/// The first bytes of what gzip compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Larger samples are fetched part by part.
const MOST_SAMPLE: u64 = 32 << 20;

#[derive(Debug)]
struct Shards {
    shards: Vec<Shard>,
    samples: Vec<Entry>,
    recent: Recent,
}

/// One sample.
#[derive(Debug)]
struct Entry {
    shard: usize,
    key: Box<str>,
    members: Vec<Part>,
}

/// One part of a sample.
#[derive(Debug)]
struct Part {
    name: Box<str>,
    start: u64,
    length: u64,
}

impl Shards {
    fn joined(listed: Vec<(Shard, Vec<Member>)>) -> Result<Self> {
        let (mut shards, mut samples) = (Vec::new(), Vec::new());
        for (number, (shard, members)) in listed.into_iter().enumerate() {
            add(number, shard.path(), members, &mut samples)?;
            shards.push(shard);
        }
        Ok(Self { shards, samples, recent: Recent::default() })
    }

    /// The bytes of a part from those of its whole sample.
    fn fetched(&self, index: usize, part: &Part) -> Result<Vec<u8>> {
        let path = self.path(index);
        let sample = &self.samples[index];
        let start = sample.members.iter().map(|part| part.start).min().unwrap_or(0) - BLOCK;
        let end = sample.members.iter().map(|part| part.start + part.length).max().unwrap_or(0);
        if end - start > MOST_SAMPLE {
            let bytes = self.shards[sample.shard].bytes(part.start - BLOCK, part.length + BLOCK)?;
            return cut_out(&bytes, 0, part, path);
        }
        let bytes = match self.recent.get(index) {
            Some(bytes) => bytes,
            None => {
                let bytes = Arc::new(self.shards[sample.shard].bytes(start, end - start)?);
                self.recent.put(index, Arc::clone(&bytes));
                bytes
            }
        };
        cut_out(&bytes, (part.start - BLOCK - start) as usize, part, path)
    }
}

/// A part of fetched bytes, whose own block of tar stands at `place`: shards at an address may
/// change, and lists of members may be of others.
fn cut_out(bytes: &[u8], place: usize, part: &Part, path: &Path) -> Result<Vec<u8>> {
    let found = bytes.get(place..).and_then(|bytes| bytes.split_first_chunk());
    let sized = |block: &[u8; BLOCK as usize]| {
        tar::Header::from_byte_slice(block).entry_size().is_ok_and(|size| size == part.length)
    };
    let own = found
        .filter(|(block, _)| sized(block))
        .and_then(|(_, rest)| rest.get(..usize::try_from(part.length).ok()?).map(<[u8]>::to_vec));
    let other = || damaged(path, TAR, "another than when its members were listed");
    own.ok_or_else(other)
}

fn local(path: &Path, open: &Arc<OpenFiles>) -> Result<(Shard, Vec<Member>)> {
    let shard = Shard::File(path.to_owned(), Arc::clone(open));
    let members = members(path, shard.reader()?)?;
    Ok((shard, members))
}

/// The list that DALI's `wds2idx` writes for the shard `path`.
pub(super) fn index_of(path: &Path) -> Result<String> {
    local(path, &Arc::default()).map(|(_, members)| index::written(&members))
}

fn at_address(address: &str, remote: &Remote) -> Result<(Shard, Vec<Member>)> {
    let shard = remote.shard(address)?;
    let known = shard.known_members()?;
    let members = match known {
        Some(members) => members,
        None => members(shard.path(), shard.reader()?)?,
    };
    shard.note(&members);
    Ok((Shard::Remote(Box::new(shard)), members))
}

/// The members of a shard that belong to samples.
fn members(path: &Path, mut file: impl Read + Seek) -> Result<Vec<Member>> {
    let length = file.seek(SeekFrom::End(0)).map_err(unread(path))?;
    require_end(&mut file, path, length)?;
    let wrong = |reason: String| damaged(path, TAR, reason);
    let broken = |error: std::io::Error| {
        error.downcast::<Error>().unwrap_or_else(|error| wrong(error.to_string()))
    };
    let mut members = Vec::new();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > length) {
            let end = start.saturating_add(size);
            let reason = format!("{name} ends at byte {end}, the file at {length}");
            return Err(wrong(reason));
        }
        if entry.header().entry_type().is_file() && parted(&name).is_some() {
            members.push(Member { name, start, length: size });
        }
    }
    let none = || wrong("expected members such as 0001.jpg, found none".to_owned());
    (!members.is_empty()).then_some(members).ok_or_else(none)
}

/// Appends the samples of a shard.
fn add(shard: usize, path: &Path, members: Vec<Member>, samples: &mut Vec<Entry>) -> Result<()> {
    for Member { name, start, length } in members {
        let Some((key, part)) = parted(&name) else { continue };
        let part = Part { name: part.to_ascii_lowercase().into(), start, length };
        match samples.last_mut() {
            Some(last) if last.shard == shard && *last.key == *key => {
                if last.members.iter().any(|known| known.name == part.name) {
                    let reason = format!("expected each member once, found {name} twice");
                    return Err(damaged(path, TAR, reason));
                }
                last.members.push(part);
            }
            _ => samples.push(Entry { shard, key: key.into(), members: vec![part] }),
        }
    }
    Ok(())
}

/// Whole shards end with blocks of zeros; one that was cut does not, wherever it was cut.
fn require_end(file: &mut (impl Read + Seek), path: &Path, length: u64) -> Result<()> {
    let mut last = vec![1; BLOCK as usize];
    let whole = length >= 2 * BLOCK && length.is_multiple_of(BLOCK);
    if whole {
        file.seek(SeekFrom::Start(length - BLOCK)).map_err(unread(path))?;
        file.read_exact(&mut last).map_err(unread(path))?;
        file.seek(SeekFrom::Start(0)).map_err(unread(path))?;
    }
    if whole && last.iter().all(|&byte| byte == 0) {
        return Ok(());
    }
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(unread(path))?;
    file.take(GZIP.len() as u64).read_to_end(&mut head).map_err(unread(path))?;
    let reason = match head == GZIP {
        true => {
            "compressed by gzip, which is not read, since samples are read in any order: \
                 unpack it by gunzip"
        }
        false => "expected blocks of zeros at its end, found none: the file was cut off",
    };
    Err(damaged(path, TAR, reason))
}

impl Records for Shards {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn key(&self, index: usize) -> String {
        self.samples[index].key.to_string()
    }

    fn path(&self, index: usize) -> &Path {
        self.shards[self.samples[index].shard].path()
    }

    fn length(&self, index: usize) -> u64 {
        self.samples[index].members.iter().map(|part| part.length).sum()
    }

    fn parts(&self, index: usize) -> Vec<String> {
        self.samples[index].members.iter().map(|part| part.name.to_string()).collect()
    }

    fn read(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let sample = &self.samples[index];
        let found = sample.members.iter().find(|member| member.name.eq_ignore_ascii_case(part));
        let Some(found) = found else { return Ok(None) };
        let path = self.path(index);
        if found.length > MAX_BYTES {
            let reason = format!("{part} of {} bytes, expected at most {MAX_BYTES}", found.length);
            return Err(damaged(path, TAR, reason));
        }
        let shard = &self.shards[sample.shard];
        if let Shard::Remote(_) = shard {
            return self.fetched(index, found).map(Some);
        }
        let bytes = shard.bytes(found.start, found.length)?;
        let whole = bytes.len() as u64 == found.length;
        let cut = || damaged(path, TAR, "shorter than when it was opened");
        whole.then_some(Some(bytes)).ok_or_else(cut)
    }
}

/// Lists the members of a shard, for `benches/fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(members) = members(path, std::io::Cursor::new(bytes)) {
        let list = index::written(&members);
        let _ = index::parsed(list.as_bytes(), bytes.len() as u64);
        let _ = add(0, path, members, &mut Vec::new());
    }
    let _ = index::parsed(bytes, bytes.len() as u64);
}
