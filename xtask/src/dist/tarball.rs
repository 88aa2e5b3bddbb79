//! The archive: program and libraries in a folder that runs wherever it is put.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

/// 1980, where the dates of wheels begin too: the time of packing is no part of the bytes.
const MTIME: u64 = 315_532_800;

const TEXTS: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// GCC's libraries, for systems without: others have such as fit their glibc, and the run path of the
/// program names them first.
const FALLBACKS: [&str; 2] = ["libgcc_s.", "libstdc++."];

/// `polyptych-0.1.0-x86_64-linux`.
fn stem() -> String {
    let (version, arch, os) =
        (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    format!("polyptych-{version}-{arch}-{os}")
}

/// Name of the archive.
pub(super) fn name() -> String {
    format!("{}.tar.gz", stem())
}

/// Writes the archive into `out`.
pub(super) fn write(
    root: &Path,
    program: &Path,
    libraries: &[PathBuf],
    packages: &str,
    out: &Path,
) -> Result<PathBuf> {
    let path = out.join(name());
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let gzip = GzBuilder::new().mtime(0).write(file, Compression::default());
    let mut archive = Archive(tar::Builder::new(gzip));
    archive.file("bin/polyptych", program, 0o755)?;
    for library in libraries {
        archive.file(&place(library), library, 0o755)?;
    }
    archive.bytes("packages.cdx.json", packages.as_bytes(), 0o644)?;
    for text in TEXTS {
        archive.file(text, &root.join(text), 0o644)?;
    }
    archive.0.into_inner()?.finish()?;
    Ok(path)
}

fn place(library: &Path) -> String {
    let name = library.file_name().unwrap_or_default().to_string_lossy();
    match FALLBACKS.iter().any(|fallback| name.starts_with(fallback)) {
        true => format!("lib/fallback/{name}"),
        false => format!("lib/{name}"),
    }
}

struct Archive<W: Write>(tar::Builder<W>);

impl<W: Write> Archive<W> {
    fn file(&mut self, name: &str, path: &Path, mode: u32) -> Result<()> {
        // A link's target: archives of libraries are used on systems without the other name.
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        self.bytes(name, &bytes, mode)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(mode);
        header.set_mtime(MTIME);
        header.set_uid(0);
        header.set_gid(0);
        self.0.append_data(&mut header, format!("{}/{name}", stem()), bytes)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_same_files_give_the_same_bytes_whenever_they_are_packed() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let (program, library, cpp) = (put("polyptych"), put("liba.so"), put("libstdc++.so.6"));
        let pack = |out: &str| {
            let out = folder.path().join(out);
            fs::create_dir_all(&out).unwrap();
            let libraries = [library.clone(), cpp.clone()];
            fs::read(write(&workspace::root(), &program, &libraries, "{}", &out).unwrap()).unwrap()
        };
        let first = pack("a");
        put("polyptych");
        assert_eq!(first, pack("b"));
        let unzipped = flate2::read::GzDecoder::new(&first[..]);
        let mut archive = tar::Archive::new(unzipped);
        let names: Vec<(String, u32)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                (path.split_once('/').unwrap().1.to_owned(), entry.header().mode().unwrap())
            })
            .collect();
        assert_eq!(names[0], ("bin/polyptych".to_owned(), 0o755));
        assert_eq!(names[1], ("lib/liba.so".to_owned(), 0o755));
        assert_eq!(names[2], ("lib/fallback/libstdc++.so.6".to_owned(), 0o755));
        assert_eq!(names.len(), 4 + TEXTS.len());
    }
}
