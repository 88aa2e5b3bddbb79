//! Unpacking archives that strangers made: nothing leaves the folder, nothing grows without bound.
//!
//! Entries with an absolute name or `..` are refused, links of every kind too: a later entry could
//! be written through a link, and no data set that we know needs one.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::setup::record::Entry;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Format {
    #[serde(rename = "tar.gz")]
    TarGz,
    #[serde(rename = "tar")]
    Tar,
    #[serde(rename = "zip")]
    Zip,
    /// A single file, taken as it is.
    #[serde(rename = "none")]
    None,
}

impl Format {
    /// The format that a file name promises.
    pub(crate) fn of(name: &str) -> Format {
        let name = name.to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        match () {
            () if ends(&[".tar.gz", ".tgz"]) => Format::TarGz,
            () if ends(&[".tar"]) => Format::Tar,
            () if ends(&[".zip", ".whl"]) => Format::Zip,
            () => Format::None,
        }
    }
}

/// Where an entry goes below the folder; `None` leaves it out.
pub(crate) type Place<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Unpacks `archive` into the existing `folder`, at most `limit` bytes, and lists what was written.
pub(crate) fn unpack(
    archive: &Path,
    format: Format,
    folder: &Path,
    limit: u64,
    place: Place,
) -> Result<Vec<Entry>> {
    let mut sink = Sink { folder, left: limit, limit, place, written: Vec::new() };
    let outcome = File::open(archive)
        .map_err(Into::into)
        .and_then(|file| sink.read(archive, format, BufReader::new(file)));
    outcome.with_context(|| archive.display().to_string())?;
    if sink.written.is_empty() {
        bail!("{}: holds nothing that was asked for", archive.display());
    }
    Ok(sink.written)
}

struct Sink<'a> {
    folder: &'a Path,
    left: u64,
    limit: u64,
    place: Place<'a>,
    written: Vec<Entry>,
}

impl Sink<'_> {
    fn read(&mut self, archive: &Path, format: Format, reader: impl Read + Seek) -> Result<()> {
        match format {
            Format::TarGz => self.tar(flate2::read::MultiGzDecoder::new(reader)),
            Format::Tar => self.tar(reader),
            Format::Zip => self.zip(reader),
            Format::None => self.single(archive, reader),
        }
    }

    fn tar(&mut self, reader: impl Read) -> Result<()> {
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries()? {
            let entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                safe(&name)?;
            } else {
                self.entry(
                    &name,
                    kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse(),
                    entry,
                )?;
            }
        }
        Ok(())
    }

    fn zip(&mut self, reader: impl Read + Seek) -> Result<()> {
        let mut archive = zip::ZipArchive::new(reader)?;
        for index in 0..archive.len() {
            let entry = archive.by_index(index)?;
            let name = entry.name().to_owned();
            if entry.is_dir() {
                safe(&name)?;
            } else {
                self.entry(&name, !entry.is_symlink(), entry)?;
            }
        }
        Ok(())
    }

    fn single(&mut self, archive: &Path, reader: impl Read) -> Result<()> {
        let name = archive.file_name().context("expected a file name, found none")?;
        self.entry(&name.to_string_lossy(), true, reader)
    }

    fn entry(&mut self, name: &str, regular: bool, reader: impl Read) -> Result<()> {
        safe(name)?;
        let Some(path) = (self.place)(name.trim_start_matches("./")) else { return Ok(()) };
        if !regular {
            bail!("`{name}`: expected a regular file, found a link or device");
        }
        safe(&path)?;
        self.write(path, reader).with_context(|| format!("`{name}`"))
    }

    fn write(&mut self, path: String, reader: impl Read) -> Result<()> {
        let target = self.folder.join(&path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        // An archive that names a file twice is damaged or hostile; both stop here.
        let mut out = Hashing { file: File::create_new(&target)?, hasher: Sha256::new() };
        let bytes = std::io::copy(&mut reader.take(self.left.saturating_add(1)), &mut out)?;
        if bytes > self.left {
            bail!("expected at most {} bytes in the whole archive, found more", self.limit);
        }
        self.left -= bytes;
        self.written.push(Entry {
            path,
            bytes,
            sha256: Some(format!("{:x}", out.hasher.finalize())),
        });
        Ok(())
    }
}

struct Hashing {
    file: File,
    hasher: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.hasher.update(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Refuses names that could lead out of a folder on any system, and names no record line can hold.
fn safe(name: &str) -> Result<()> {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    let plain = !name.contains(['\\', '\n', '\r', '\0']) && name.as_bytes().get(1) != Some(&b':');
    if name.is_empty() || !plain || !Path::new(name).components().all(inside) {
        bail!(
            "`{}`: expected a name inside the folder, found one that leads out",
            name.escape_debug()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::record;
    use std::path::PathBuf;
    use tempfile::TempDir;

    const LIMIT: u64 = 1 << 20;

    fn tar_of(entries: &[(&str, tar::EntryType, &[u8])]) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            // `set_path` refuses what an attacker would write, so the field is filled by hand.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_size(0);
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.finish().unwrap();
        (dir, path)
    }

    fn zip_of(entries: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in entries {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap();
        (dir, path)
    }

    fn all(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn refusal(archive: &Path, limit: u64) -> String {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let error = unpack(archive, Format::of(&archive.to_string_lossy()), &folder, limit, &all)
            .unwrap_err();
        let outside = fs::read_dir(outer.path()).unwrap().count();
        assert_eq!(outside, 1, "something was written beside the folder");
        format!("{error:#}")
    }

    #[test]
    fn files_arrive_and_are_listed() {
        let (_dir, path) = tar_of(&[
            ("x/", tar::EntryType::Directory, b""),
            ("./x/a", tar::EntryType::Regular, b"abc"),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let entries = unpack(&path, Format::Tar, folder.path(), LIMIT, &all).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!((entries[0].path.as_str(), entries[0].bytes), ("x/a", 3));
        record::check(folder.path(), &entries, record::Depth::Hashes).unwrap();
    }

    #[test]
    fn what_is_not_placed_is_left_out() {
        let (_dir, path) = zip_of(&[("r/train/a", b"1"), ("r/other/b", b"2")]);
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| name.strip_prefix("r/train/").map(|rest| format!("images/{rest}"));
        let entries = unpack(&path, Format::Zip, folder.path(), LIMIT, &place).unwrap();
        assert_eq!(entries.iter().map(|e| e.path.as_str()).collect::<Vec<_>>(), ["images/a"]);
        let nothing = unpack(&path, Format::Zip, folder.path(), LIMIT, &|_| None).unwrap_err();
        assert!(nothing.to_string().ends_with("holds nothing that was asked for"));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../evil", "x/../../evil", "/evil", "x\\..\\evil", "C:evil"] {
            let (_dir, path) = tar_of(&[(name, tar::EntryType::Regular, b"x")]);
            let error = refusal(&path, LIMIT);
            assert!(error.contains("evil") && error.contains("leads out"), "{error}");
        }
        let (_dir, path) = zip_of(&[("../evil", b"x")]);
        assert!(refusal(&path, LIMIT).contains("leads out"));
        let (_dir, path) = tar_of(&[("../evil/", tar::EntryType::Directory, b"")]);
        assert!(refusal(&path, LIMIT).contains("leads out"));
    }

    #[test]
    fn links_are_refused_by_name() {
        for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char] {
            let (_dir, path) = tar_of(&[("out", kind, b"")]);
            let error = refusal(&path, LIMIT);
            assert!(error.contains("`out`: expected a regular file"), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        let mut writer = zip::ZipWriter::new(File::create(&path).unwrap());
        writer.add_symlink("out", "/etc/passwd", zip::write::SimpleFileOptions::default()).unwrap();
        writer.finish().unwrap();
        assert!(refusal(&path, LIMIT).contains("`out`: expected a regular file"));
    }

    #[test]
    fn the_size_is_bounded() {
        let (_dir, path) = zip_of(&[("a", &[0; 600]), ("b", &[0; 600])]);
        let error = refusal(&path, 1000);
        assert!(error.contains("`b`") && error.contains("at most 1000 bytes"), "{error}");
    }

    #[test]
    fn a_file_named_twice_is_refused() {
        let (_dir, path) =
            tar_of(&[("a", tar::EntryType::Regular, b"1"), ("a", tar::EntryType::Regular, b"2")]);
        assert!(refusal(&path, LIMIT).contains("`a`"));
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let (_dir, path) = tar_of(&[("a", tar::EntryType::Regular, &[7; 2000])]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..1000]).unwrap();
        assert!(refusal(&path, LIMIT).contains("a.tar"));
    }

    #[test]
    fn formats_are_known_by_name() {
        assert_eq!(Format::of("A.TGZ"), Format::TarGz);
        assert_eq!(Format::of("a.whl"), Format::Zip);
        assert_eq!(Format::of("a.mat"), Format::None);
    }
}
