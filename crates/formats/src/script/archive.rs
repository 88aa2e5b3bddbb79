//! The archive around TorchScript's code.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::file::write_aside;
use crate::{Error, Result};

const CODE: &str = "/code/__torch__.py";
/// Places in the code as it was traced.
const DEBUG: &str = ".debug_pkl";
/// What PyTorch aligns numbers to.
const ALIGNMENT: u16 = 64;

/// The code in the file at `path`.
pub(super) fn code(path: &Path) -> Result<String> {
    let mut code = String::new();
    for_each(path, |name, content| {
        if name.ends_with(CODE) {
            code = String::from_utf8_lossy(&content).into_owned();
        }
        Ok(())
    })?;
    Ok(code)
}

/// Writes the file at `from` to `to` with other code, and with `extra` beside it.
pub(super) fn replace_code(from: &Path, to: &Path, code: &str, extra: &str) -> Result<()> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut put = |name: &str, content: &[u8]| {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(name, stored.with_alignment(ALIGNMENT)).map_err(|e| e.to_string())?;
        writer.write_all(content).map_err(|e| e.to_string())
    };
    let mut root = String::new();
    for_each(from, |name, content| match name.strip_suffix(CODE) {
        Some(folder) => {
            root = folder.to_owned();
            put(&name, code.as_bytes())
        }
        None if name.ends_with(DEBUG) => Ok(()),
        None => put(&name, &content),
    })?;
    let wrong = |reason: String| Error::Script { path: to.into(), reason };
    put(&format!("{root}/extra/polyptych.json"), extra.as_bytes()).map_err(wrong)?;
    let content = writer.finish().map_err(|e| wrong(e.to_string()))?;
    write_aside(to, &content.into_inner())
}

fn for_each(
    path: &Path,
    mut f: impl FnMut(String, Vec<u8>) -> std::result::Result<(), String>,
) -> Result<()> {
    let io = |source| Error::Io { path: path.into(), source };
    let wrong = |reason: String| Error::Script { path: path.into(), reason };
    let file = BufReader::new(File::open(path).map_err(io)?);
    let mut archive = ZipArchive::new(file).map_err(|e| wrong(e.to_string()))?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|e| wrong(e.to_string()))?;
        let mut content = Vec::new();
        let _ = member.read_to_end(&mut content).map_err(io)?;
        f(member.name().to_owned(), content).map_err(wrong)?;
    }
    Ok(())
}
