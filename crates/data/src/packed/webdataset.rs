//! Shards of WebDataset: tar files whose members of one name are one sample.
//!
//! `dir/7.seg.png` is the part `seg.png` of the sample `dir/7`; members of a sample stand one behind
//! the other. The members of every shard are listed once, so that samples are read in any order,
//! each of them once in an epoch.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::records::{Packed, Records};
use crate::Result;
use crate::decode::{MAX_BYTES, damaged, unreadable};

pub(super) const FORMAT: Packed = Packed {
    name: "webdataset",
    ending: "tar",
    image: "jpg;jpeg;png;webp;tif;tiff;bmp",
    open: |shards| {
        let mut all = Shards { paths: shards.to_vec(), samples: Vec::new() };
        for (shard, path) in shards.iter().enumerate() {
            let file = File::open(path).map_err(unreadable(path))?;
            list(shard, path, file, &mut all.samples)?;
        }
        Ok(Box::new(all))
    },
};

/// What a file that is refused should be.
const TAR: &str = "tar shard";
/// Tar pads with zeros to blocks of this length.
const BLOCK: u64 = 512;

#[derive(Debug)]
struct Shards {
    paths: Vec<PathBuf>,
    samples: Vec<Entry>,
}

/// One sample.
#[derive(Debug)]
struct Entry {
    shard: usize,
    key: Box<str>,
    members: Vec<Member>,
}

/// One part of a sample.
#[derive(Debug)]
struct Member {
    part: Box<str>,
    start: u64,
    length: u64,
}

/// Appends the samples of a shard.
fn list(
    shard: usize,
    path: &Path,
    mut file: impl Read + Seek,
    samples: &mut Vec<Entry>,
) -> Result<()> {
    let length = file.seek(SeekFrom::End(0)).map_err(unreadable(path))?;
    require_end(&mut file, path, length)?;
    let wrong = |reason: String| damaged(path, TAR, reason);
    let first = samples.len();
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek().map_err(|error| wrong(error.to_string()))? {
        let entry = entry.map_err(|error| wrong(error.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (start, size) = (entry.raw_file_position(), entry.size());
        if start.checked_add(size).is_none_or(|end| end > length) {
            let end = start.saturating_add(size);
            let reason = format!("{name} ends at byte {end}, the file at {length}");
            return Err(wrong(reason));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some((key, part)) = parted(&name) else { continue };
        let member = Member { part: part.to_ascii_lowercase().into(), start, length: size };
        match samples.last_mut() {
            Some(last) if samples_go_on(last, shard, key) => {
                if last.members.iter().any(|known| known.part == member.part) {
                    return Err(wrong(format!("expected each member once, found {name} twice")));
                }
                last.members.push(member);
            }
            _ => samples.push(Entry { shard, key: key.into(), members: vec![member] }),
        }
    }
    match samples.len() == first {
        true => Err(wrong("expected members such as 0001.jpg, found none".to_owned())),
        false => Ok(()),
    }
}

fn samples_go_on(last: &Entry, shard: usize, key: &str) -> bool {
    last.shard == shard && *last.key == *key
}

/// Whole shards end with blocks of zeros; one that was cut does not, wherever it was cut.
fn require_end(file: &mut (impl Read + Seek), path: &Path, length: u64) -> Result<()> {
    let mut last = vec![1; BLOCK as usize];
    let whole = length >= 2 * BLOCK && length.is_multiple_of(BLOCK);
    if whole {
        file.seek(SeekFrom::Start(length - BLOCK)).map_err(unreadable(path))?;
        file.read_exact(&mut last).map_err(unreadable(path))?;
        file.seek(SeekFrom::Start(0)).map_err(unreadable(path))?;
    }
    let cut = || {
        let reason = "expected blocks of zeros at its end, found none: the file was cut off";
        damaged(path, TAR, reason)
    };
    (whole && last.iter().all(|&byte| byte == 0)).then_some(()).ok_or_else(cut)
}

/// Key and part of a member: what stands before and behind the first dot of its last name.
fn parted(name: &str) -> Option<(&str, &str)> {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = start + name[start..].find('.')?;
    let (key, part) = (&name[..dot], &name[dot + 1..]);
    (dot > start && !part.is_empty()).then_some((key, part))
}

impl Records for Shards {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn key(&self, index: usize) -> String {
        self.samples[index].key.to_string()
    }

    fn path(&self, index: usize) -> &Path {
        &self.paths[self.samples[index].shard]
    }

    fn length(&self, index: usize) -> u64 {
        self.samples[index].members.iter().map(|member| member.length).sum()
    }

    fn parts(&self, index: usize) -> Vec<String> {
        self.samples[index].members.iter().map(|member| member.part.to_string()).collect()
    }

    fn read(&self, index: usize, part: &str) -> Result<Option<Vec<u8>>> {
        let found = self.samples[index].members.iter().find(|m| m.part.eq_ignore_ascii_case(part));
        let Some(member) = found else { return Ok(None) };
        let path = self.path(index);
        if member.length > MAX_BYTES {
            let reason = format!("{part} of {} bytes, expected at most {MAX_BYTES}", member.length);
            return Err(damaged(path, TAR, reason));
        }
        let mut file = File::open(path).map_err(unreadable(path))?;
        file.seek(SeekFrom::Start(member.start)).map_err(unreadable(path))?;
        let mut bytes = Vec::new();
        file.take(member.length).read_to_end(&mut bytes).map_err(unreadable(path))?;
        let whole = bytes.len() as u64 == member.length;
        let cut = || damaged(path, TAR, "shorter than when it was opened");
        whole.then_some(Some(bytes)).ok_or_else(cut)
    }
}

/// Lists the members of a shard, for `benches/fuzz`.
#[cfg(feature = "fuzz")]
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = list(0, Path::new("fuzz"), std::io::Cursor::new(bytes), &mut Vec::new());
}
