//! The wheel: program and module for Python, without LibTorch, which `torch` has.
//!
//! A wheel is a zip archive of the files as they are installed, and three texts; see the packaging
//! authority's "Binary distribution format". The program lies in the module's folder, from where
//! `../../torch/lib` is that of the `torch` beside it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The module's folder.
const MODULE: &str = "crates/cli/python/polyptych";

/// Writes the wheel into `out`.
pub(super) fn write(root: &Path, program: &Path, packages: &str, out: &Path) -> Result<PathBuf> {
    let bytes = fs::read(program).with_context(|| program.display().to_string())?;
    let tag = tag(&bytes);
    let path = out.join(format!("polyptych-{VERSION}-{tag}.whl"));
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    let mut wheel = Wheel { zip: zip::ZipWriter::new(file), record: String::new() };
    for (name, text) in module(root)? {
        wheel.add(&format!("polyptych/{name}"), &text, 0o644)?;
    }
    wheel.add("polyptych/bin/polyptych", &bytes, 0o755)?;
    let info = format!("polyptych-{VERSION}.dist-info");
    for (name, text) in texts(root, &tag, packages)? {
        wheel.add(&format!("{info}/{name}"), text.as_bytes(), 0o644)?;
    }
    wheel.finish(&format!("{info}/RECORD"))?;
    Ok(path)
}

/// The files of the module, by name.
fn module(root: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = root.join(MODULE);
    let mut files = Vec::new();
    for item in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = item?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".py") || name == "py.typed" {
            files.push((name, fs::read(&path).with_context(|| path.display().to_string())?));
        }
    }
    files.sort();
    Ok(files)
}

/// What installers read, RECORD aside.
fn texts(root: &Path, tag: &str, packages: &str) -> Result<Vec<(&'static str, String)>> {
    let read = |name: &str| {
        let path = root.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let metadata = format!(
        "Metadata-Version: 2.4\nName: polyptych\nVersion: {VERSION}\n\
         Summary: Multi-task parameter-efficient vision transformers\n\
         Keywords: deep-learning,vision,transformer,lora,multi-task\n\
         Classifier: Development Status :: 4 - Beta\n\
         Classifier: Environment :: Console\n\
         Classifier: Intended Audience :: Science/Research\n\
         Classifier: Operating System :: POSIX :: Linux\n\
         Classifier: Programming Language :: Python :: 3\n\
         Classifier: Programming Language :: Rust\n\
         Classifier: Topic :: Scientific/Engineering :: Artificial Intelligence\n\
         Classifier: Topic :: Scientific/Engineering :: Image Recognition\n\
         Classifier: Typing :: Typed\n\
         License-Expression: MIT OR Apache-2.0\n\
         License-File: LICENSE-MIT\nLicense-File: LICENSE-APACHE\n\
         Requires-Python: >=3.10\n\
         Requires-Dist: torch==2.11.0\nRequires-Dist: numpy\nRequires-Dist: Pillow\n\
         Description-Content-Type: text/markdown\n\n{}",
        read("README.md")?
    );
    Ok(vec![
        ("METADATA", metadata),
        (
            "WHEEL",
            format!("Wheel-Version: 1.0\nGenerator: xtask\nRoot-Is-Purelib: false\nTag: {tag}\n"),
        ),
        ("entry_points.txt", "[console_scripts]\npolyptych = polyptych._program:main\n".to_owned()),
        ("licenses/LICENSE-MIT", read("LICENSE-MIT")?),
        ("licenses/LICENSE-APACHE", read("LICENSE-APACHE")?),
        ("sboms/polyptych.cdx.json", packages.to_owned()),
    ])
}

/// Any Python 3, and the systems whose glibc is new enough for `program`.
fn tag(program: &[u8]) -> String {
    let minor = glibc_minor(program);
    format!("py3-none-manylinux_2_{minor}_{}", std::env::consts::ARCH)
}

/// The newest `GLIBC_2.N` that a symbol of `program` needs; manylinux begins with 17.
fn glibc_minor(program: &[u8]) -> u32 {
    const MARK: &[u8] = b"GLIBC_2.";
    let after = |at: usize| {
        let digits = program[at + MARK.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    let places = program.windows(MARK.len()).enumerate().filter(|(_, bytes)| *bytes == MARK);
    places.map(|(at, _)| after(at)).max().unwrap_or_default().max(17)
}

struct Wheel {
    zip: zip::ZipWriter<File>,
    record: String,
}

impl Wheel {
    fn add(&mut self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
        self.record.push_str(&format!("{name},sha256={hash},{}\n", bytes.len()));
        self.put(name, bytes, mode)
    }

    fn put(&mut self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        // The default date is 1980's first.
        let options = SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(mode);
        self.zip.start_file(name, options)?;
        self.zip.write_all(bytes)?;
        Ok(())
    }

    fn finish(mut self, name: &str) -> Result<()> {
        let record = format!("{}{name},,\n", self.record);
        self.put(name, record.as_bytes(), 0o644)?;
        self.zip.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;
    use std::io::Read;

    /// Those of the crates.
    fn keywords() -> Vec<String> {
        let text = fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        manifest["workspace"]["package"]["keywords"].clone().try_into().unwrap()
    }

    #[test]
    fn the_wheel_has_module_and_program_with_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("polyptych");
        fs::write(&program, b"\0GLIBC_2.34\0GLIBC_2.4\0").unwrap();
        let path = write(&workspace::root(), &program, "{}", folder.path()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.contains("-py3-none-manylinux_2_34_"), "{name}");
        let mut zip = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
        let mut text = |name: &str| {
            let mut text = String::new();
            zip.by_name(name).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let info = format!("polyptych-{VERSION}.dist-info");
        let metadata = text(&format!("{info}/METADATA"));
        let (fields, _) = metadata.split_once("\n\n").unwrap();
        for field in [
            "Requires-Dist: torch==2.11.0".to_owned(),
            format!("Keywords: {}", keywords().join(",")),
            "Classifier: Programming Language :: Python :: 3".to_owned(),
        ] {
            assert!(fields.lines().any(|line| line == field), "{field}: {fields}");
        }
        let record = text(&format!("{info}/RECORD"));
        assert!(record.contains("polyptych/__init__.py,sha256="), "{record}");
        assert!(
            record.contains(
                "polyptych/py.typed,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
            )
        );
        assert!(record.ends_with(&format!("{info}/RECORD,,\n")), "{record}");
        assert_eq!(
            zip.by_name("polyptych/bin/polyptych").unwrap().unix_mode().unwrap() & 0o777,
            0o755
        );
        assert_eq!(record.lines().count(), zip.len());
    }
}
