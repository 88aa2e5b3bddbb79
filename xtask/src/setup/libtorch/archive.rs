//! LibTorch out of an official archive: for machines without Python, or without a pinned wheel.

use std::path::Path;

use anyhow::{Context, Result};

use super::home::check_version;
use super::wheels::{UNPACKED_LIMIT, finish};
use crate::setup::unpack::{Format, unpack};

/// Fills the empty folder `home` from an official LibTorch zip, checked for the version.
pub(crate) fn from_archive(archive: &Path, home: &Path) -> Result<()> {
    let entries = unpack(archive, Format::Zip, home, UNPACKED_LIMIT, &place)?;
    check_version(home).with_context(|| archive.display().to_string())?;
    finish(home, entries).with_context(|| archive.display().to_string())
}

/// Shared libraries, headers and the version; the static libraries would triple the size.
fn place(name: &str) -> Option<String> {
    let inside = name.strip_prefix("libtorch/").unwrap_or(name);
    let library = inside.strip_prefix("lib/").is_some_and(|file| {
        !file.contains('/')
            && (file.ends_with(".so") || file.contains(".so.") || file.ends_with(".dylib"))
    });
    (library || inside.starts_with("include/") || inside == "build-version")
        .then(|| inside.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::libtorch::home::whole;
    use crate::setup::record::Depth;
    use std::io::Write;

    fn official(version: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            zip::ZipWriter::new(std::fs::File::create(dir.path().join("a.zip")).unwrap());
        let headers = ["include/torch/csrc/api/include/torch/torch.h", "include/ATen/ATen.h"];
        for name in ["lib/libtorch_cpu.so", "lib/libgomp-98b21ff3.so.1", "lib/libdnnl.a", "share/x"]
            .iter()
            .chain(&headers)
        {
            writer
                .start_file(format!("libtorch/{name}"), zip::write::SimpleFileOptions::default())
                .unwrap();
            writer.write_all(b"content").unwrap();
        }
        writer
            .start_file("libtorch/build-version", zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(version.as_bytes()).unwrap();
        writer.finish().unwrap();
        dir
    }

    #[test]
    fn an_official_archive_becomes_a_whole_folder() {
        let dir = official("2.11.0+cpu\n");
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        from_archive(&dir.path().join("a.zip"), &home).unwrap();
        whole(&home, Depth::Hashes).unwrap();
        assert!(home.join("lib/libgomp-98b21ff3.so.1").exists());
        assert!(!home.join("lib/libdnnl.a").exists() && !home.join("share").exists());
    }

    #[test]
    fn another_version_is_refused() {
        let dir = official("2.10.0+cpu\n");
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let error = format!("{:#}", from_archive(&dir.path().join("a.zip"), &home).unwrap_err());
        assert!(
            error.contains("a.zip")
                && error.contains("expected LibTorch 2.11.0, found `2.10.0+cpu`"),
            "{error}"
        );
    }
}
