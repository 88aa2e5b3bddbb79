//! What a folder held when it was filled: one line per file, to notice what has changed since.
//!
//! Line: SHA-256 (or `-` where nobody hashed it), bytes, path with forward slashes.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::workspace::below;

/// One file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Path below the folder, with forward slashes.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// Lower-case hexadecimal; `None` where nobody hashed the file.
    pub(crate) sha256: Option<String>,
}

/// How much of each file a check reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Existence and size: milliseconds.
    Sizes,
    /// Every byte.
    Hashes,
}

/// Writes the record `file`, sorted by path.
pub(crate) fn write(file: &Path, entries: &[Entry]) -> Result<()> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let line =
        |e: &&Entry| format!("{} {} {}\n", e.sha256.as_deref().unwrap_or("-"), e.bytes, e.path);
    fs::write(file, sorted.iter().map(line).collect::<String>())
        .with_context(|| file.display().to_string())
}

/// Reads the record `file`.
pub(crate) fn read(file: &Path) -> Result<Vec<Entry>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let entry = |(number, line): (usize, &str)| {
        parse(line).with_context(|| {
            format!(
                "{}: line {}: expected hash, size and path, found `{line}`",
                file.display(),
                number + 1
            )
        })
    };
    text.lines().enumerate().map(entry).collect()
}

fn parse(line: &str) -> Option<Entry> {
    let mut fields = line.splitn(3, ' ');
    let (hash, bytes, path) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?);
    Some(Entry { path: path.to_owned(), bytes, sha256: (hash != "-").then(|| hash.to_owned()) })
}

/// Compares `folder` with `entries`; the error names the first file that differs.
pub(crate) fn check(folder: &Path, entries: &[Entry], depth: Depth) -> Result<()> {
    if entries.is_empty() {
        bail!("{}: the record lists no file", folder.display());
    }
    entries.iter().try_for_each(|entry| check_one(&folder.join(&entry.path), entry, depth))
}

fn check_one(path: &Path, entry: &Entry, depth: Depth) -> Result<()> {
    let Ok(meta) = fs::metadata(path) else {
        bail!("{}: expected {} bytes, found no file", path.display(), entry.bytes);
    };
    if meta.len() != entry.bytes {
        bail!("{}: expected {} bytes, found {}", path.display(), entry.bytes, meta.len());
    }
    match (&entry.sha256, depth) {
        (Some(expected), Depth::Hashes) => expect_hash(path, expected),
        _ => Ok(()),
    }
}

/// Fails where the file's SHA-256 is not `expected`.
pub(crate) fn expect_hash(path: &Path, expected: &str) -> Result<()> {
    let found = sha256(path)?;
    if !found.eq_ignore_ascii_case(expected) {
        bail!("{}: expected SHA-256 {expected}, found {found}", path.display());
    }
    Ok(())
}

/// SHA-256 of a file, lower-case hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).with_context(|| path.display().to_string())? {
            0 => return Ok(format!("{:x}", hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Lists the files below `folder` with their sizes, unhashed.
pub(crate) fn list_files(folder: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for item in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = item?.path();
            let meta = fs::metadata(&path).with_context(|| path.display().to_string())?;
            if meta.is_dir() {
                pending.push(path);
            } else {
                entries.push(Entry { path: below(folder, &path), bytes: meta.len(), sha256: None });
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn filled() -> (tempfile::TempDir, Vec<Entry>) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub dir")).unwrap();
        fs::write(dir.path().join("sub dir/a b"), "abc").unwrap();
        let entry = Entry { path: "sub dir/a b".into(), bytes: 3, sha256: Some(ABC.into()) };
        (dir, vec![entry])
    }

    #[test]
    fn round_trip_keeps_names_with_spaces() {
        let (dir, mut entries) = filled();
        entries.push(Entry { path: "a".into(), bytes: 0, sha256: None });
        let file = dir.path().join("record");
        write(&file, &entries).unwrap();
        entries.reverse();
        assert_eq!(read(&file).unwrap(), entries);
    }

    #[test]
    fn a_damaged_record_names_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("record");
        fs::write(&file, "- 1 a\n- many b\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn sizes_and_hashes_are_compared() {
        let (dir, entries) = filled();
        check(dir.path(), &entries, Depth::Hashes).unwrap();
        fs::write(dir.path().join("sub dir/a b"), "abd").unwrap();
        check(dir.path(), &entries, Depth::Sizes).unwrap();
        let error = check(dir.path(), &entries, Depth::Hashes).unwrap_err().to_string();
        assert!(error.contains("a b: expected SHA-256"), "{error}");
        fs::write(dir.path().join("sub dir/a b"), "ab").unwrap();
        let error = check(dir.path(), &entries, Depth::Sizes).unwrap_err().to_string();
        assert!(error.ends_with("expected 3 bytes, found 2"), "{error}");
        fs::remove_file(dir.path().join("sub dir/a b")).unwrap();
        assert!(
            check(dir.path(), &entries, Depth::Sizes)
                .unwrap_err()
                .to_string()
                .contains("found no file")
        );
        assert!(check(dir.path(), &[], Depth::Sizes).is_err());
    }

    #[test]
    fn the_list_holds_what_is_there() {
        let (dir, entries) = filled();
        assert_eq!(list_files(dir.path()).unwrap(), [Entry { sha256: None, ..entries[0].clone() }]);
    }
}
