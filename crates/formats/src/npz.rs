//! NumPy's archives of arrays, in which ViT's authors publish their weights.
//!
//! An `.npz` is a zip archive of `.npy` files, stored or deflated; the member `a/b.npy` is the
//! array `a/b`. Arrays of objects, which only NumPy can read, are refused.

mod npy;
#[cfg(test)]
mod testing;

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use polyptych_tensor::{Tensor, Tensors};
use zip::ZipArchive;

use crate::{Error, Result};

/// First bytes of a zip archive that has members.
const MAGIC: [u8; 4] = *b"PK\x03\x04";

/// Whether the file at `path` can be read and begins as a zip archive does.
pub fn is_npz(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == MAGIC
}

/// Reads the arrays of the file at `path`, on the CPU, in their own types.
///
/// # Errors
/// A file that is absent, no zip archive or damaged; a member that is no array of f16, f32, f64,
/// i32, i64 or u8 in little-endian order.
pub fn load(path: &Path) -> Result<Tensors> {
    let io = |source| Error::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    read(&path.to_string_lossy(), BufReader::new(file))
}

/// Reads an archive that is in memory already; `origin` names it in errors.
///
/// # Errors
/// As [`load`].
pub fn parse(origin: &str, content: &[u8]) -> Result<Tensors> {
    read(origin, Cursor::new(content))
}

fn read(origin: &str, content: impl Read + Seek) -> Result<Tensors> {
    let broken = |e: zip::result::ZipError| Error::Npz {
        origin: origin.into(),
        member: "archive".into(),
        reason: e.to_string(),
    };
    let mut archive = ZipArchive::new(content).map_err(broken)?;
    (0..archive.len()).map(|index| member(origin, &mut archive, index)).collect()
}

fn member(
    origin: &str,
    archive: &mut ZipArchive<impl Read + Seek>,
    index: usize,
) -> Result<(String, Tensor)> {
    let name = archive.name_for_index(index).unwrap_or_default().to_owned();
    let wrong = |reason: String| Error::Npz { origin: origin.into(), member: name.clone(), reason };
    let mut file = archive.by_index(index).map_err(|e| wrong(e.to_string()))?;
    let size = file.size();
    let tensor = npy::read(&mut file, size).map_err(wrong)?;
    Ok((name.strip_suffix(".npy").unwrap_or(&name).to_owned(), tensor))
}

#[cfg(test)]
mod tests {
    use super::testing::{archive, npy};
    use super::*;
    use polyptych_tensor::Kind;

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn refusal(file: &[u8]) -> String {
        parse("w.npz", &archive(&[("a/b", file.to_vec())])).unwrap_err().to_string()
    }

    #[test]
    fn stored_and_deflated_arrays_come_back() {
        let values = [0.5f32, -1.25, 3.0, 1e-3, 7.0, 2.5];
        let f64s: Vec<u8> = [2.5f64, -3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let content = archive(&[
            ("deep/a", npy("<f4", false, "(2, 3)", &floats(&values))),
            ("b", npy("<f4", false, "(6,)", &floats(&values))),
            ("scalar", npy("<f4", false, "()", &floats(&[4.0]))),
            ("wide", npy("<f8", false, "(2,)", &f64s)),
            ("none", npy("<f4", false, "(0, 4)", &[])),
            ("half", npy("<f2", false, "(1,)", &[0x00, 0x3c])),
        ]);
        let arrays = parse("w.npz", &content).unwrap();
        assert_eq!(arrays.len(), 6);
        let expected = Tensor::from_slice(&values);
        assert!(arrays["deep/a"].equal(&expected.view([2, 3])));
        assert!(arrays["b"].equal(&expected));
        assert_eq!((arrays["scalar"].dim(), arrays["scalar"].double_value(&[])), (0, 4.0));
        assert!(arrays["wide"].equal(&Tensor::from_slice(&[2.5f64, -3.0])));
        assert_eq!(arrays["none"].size(), [0, 4]);
        assert_eq!((arrays["half"].kind(), arrays["half"].double_value(&[0])), (Kind::Half, 1.0));
    }

    /// Columns first: `[[0, 2, 4], [1, 3, 5]]` lies in memory as 0 to 5.
    #[test]
    fn the_order_of_fortran_is_understood() {
        let file = npy("<f4", true, "(2, 3)", &floats(&[0., 1., 2., 3., 4., 5.]));
        let arrays = parse("w.npz", &archive(&[("a", file)])).unwrap();
        let expected = Tensor::from_slice(&[0f32, 2., 4., 1., 3., 5.]).view([2, 3]);
        assert!(arrays["a"].equal(&expected));
    }

    /// tch has a writer of its own.
    #[test]
    fn another_writer_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.npz");
        let tensor = Tensor::from_slice(&[1i64, -2, 3, 4]).view([2, 2]);
        Tensor::write_npz(&[("a/b", &tensor), ("c", &tensor.to_kind(Kind::Float))], &path).unwrap();
        assert!(is_npz(&path));
        let arrays = load(&path).unwrap();
        assert!(arrays["a/b"].equal(&tensor) && arrays["c"].equal(&tensor.to_kind(Kind::Float)));
    }

    #[test]
    fn arrays_that_are_none_are_named() {
        let message = "w.npz: a/b.npy: ";
        assert_eq!(refusal(b"text"), format!("{message}shorter than its header"));
        assert_eq!(refusal(&[b'x'; 40]), format!("{message}not in NumPy's format"));
        let whole = npy("<f4", false, "(2,)", &floats(&[1., 2.]));
        let length = whole.len();
        assert_eq!(
            refusal(&whole[..length - 1]),
            format!("{message}expected {length} bytes, found {}", length - 1)
        );
        assert_eq!(
            refusal(&npy("|O", false, "(2,)", &[0; 8])),
            format!("{message}type `|O` is not supported")
        );
        assert_eq!(
            refusal(&npy(">f4", false, "(2,)", &[0; 8])),
            format!("{message}type `>f4` is not supported")
        );
        let huge = "(99999999999, 99999999999)";
        assert_eq!(
            refusal(&npy("<f4", false, huge, &[0; 8])),
            format!("{message}shape `{huge}` cannot be read")
        );
        assert_eq!(
            refusal(&npy("<f4", false, "(-1,)", &[0; 8])),
            format!("{message}shape `(-1,)` cannot be read")
        );
        let mut long = whole.clone();
        long[6..12].copy_from_slice(&[2, 0, 0xff, 0xff, 0xff, 0x7f]);
        assert_eq!(refusal(&long), format!("{message}a header of 2147483647 bytes"));
    }

    #[test]
    fn files_that_are_no_archive_are_named() {
        let message = parse("w.npz", &[7; 100]).unwrap_err().to_string();
        assert!(message.starts_with("w.npz: archive: "), "{message}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.npz");
        assert!(!is_npz(&path));
        let message = load(&path).unwrap_err().to_string();
        assert!(message.contains("w.npz: No such file"), "{message}");
        std::fs::write(&path, [7; 100]).unwrap();
        assert!(!is_npz(&path));
    }

    #[test]
    fn a_damaged_archive_is_refused() {
        let whole = archive(&[("b", npy("<f4", false, "(2,)", &floats(&[1., 2.])))]);
        for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
            assert!(parse("w.npz", &whole[..cut]).is_err(), "{cut}");
        }
        // The members' checksums show a change.
        let mut spoilt = archive(&[("b", npy("<f4", false, "(2,)", &floats(&[1., 2.])))]);
        let at = spoilt.windows(4).position(|w| w == 2f32.to_le_bytes()).unwrap();
        spoilt[at + 3] ^= 1;
        let message = parse("w.npz", &spoilt).unwrap_err().to_string();
        assert!(message.starts_with("w.npz: b.npy: "), "{message}");
    }
}
