//! Shards as webdataset writes them, and shards that are spoilt.

use std::fs;
use std::path::{Path, PathBuf};

use ndarray::ArrayD;

use super::{Records, arrow, hdf5, parquet, webdataset};
use crate::Result;
use crate::decode::npy;

/// Written by webdataset 1.0 (`tests/webdataset/generate.py`).
fn shard(number: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webdataset");
    folder.join(format!("train-{number:06}.tar"))
}

fn open(paths: &[PathBuf]) -> Result<Box<dyn Records>> {
    (webdataset::FORMAT.open)(paths)
}

/// A shard of these members.
fn written(members: &[(&str, &[u8])]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.finish().unwrap();
    (folder, path)
}

fn refused(path: &Path) -> String {
    let message = open(&[path.to_owned()]).unwrap_err().to_string();
    message.replace(&path.display().to_string(), "a.tar")
}

#[test]
fn members_of_one_name_are_one_sample() {
    let records = open(&[shard(0), shard(1)]).unwrap();
    assert_eq!(records.len(), 4);
    let keys: Vec<String> = (0..4).map(|index| records.key(index)).collect();
    assert_eq!(keys, ["street/0000", "street/0001", "street/0002", "street/0003"]);
    assert_eq!(records.path(2), shard(1));
    let mut parts = records.parts(3);
    parts.sort();
    assert_eq!(parts, ["cls", "png", "seg.png"]);
    assert_eq!(records.read(3, "cls").unwrap().unwrap(), b"1");
    assert_eq!(records.read(3, "CLS").unwrap().unwrap(), b"1");
    assert_eq!(records.read(3, "json").unwrap(), None);
    assert!(records.read(0, "png").unwrap().unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn names_are_parted_at_their_first_dot() {
    let (_folder, path) = written(&[
        ("./a.b/c.jpg", b"1"),
        ("./a.b/c.seg.png", b"22"),
        ("./a.b/.hidden", b"3"),
        ("./a.b/plain", b"4"),
        ("d.jpg", b"5"),
        ("./a.b/c.jpg", b"6"),
    ]);
    let records = open(&[path]).unwrap();
    let keys: Vec<String> = (0..records.len()).map(|index| records.key(index)).collect();
    assert_eq!(keys, ["a.b/c", "d", "a.b/c"]);
    assert_eq!(records.length(0), 3);
}

/// Every cut is noticed, within a member, between two, and within the end.
#[test]
fn a_shard_that_was_cut_is_named() {
    let (_folder, path) = written(&[("a.jpg", &[7; 700]), ("b.jpg", &[8; 100])]);
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len() - 512).step_by(256) {
        fs::write(&path, &whole[..length]).unwrap();
        let message = refused(&path);
        assert!(message.starts_with("a.tar: not a readable tar shard: "), "{length}: {message}");
    }
    fs::write(&path, &whole[..512 + 1024]).unwrap();
    assert!(refused(&path).ends_with("found none: the file was cut off"));
    fs::write(&path, [&whole[..512 + 512], &[0; 1024]].concat()).unwrap();
    open(std::slice::from_ref(&path)).unwrap();
    let records = {
        fs::write(&path, &whole).unwrap();
        open(std::slice::from_ref(&path)).unwrap()
    };
    fs::write(&path, &whole[..1024]).unwrap();
    let message = records.read(0, "jpg").unwrap_err().to_string();
    assert!(message.ends_with("shorter than when it was opened"), "{message}");
}

#[test]
fn what_is_no_shard_is_refused() {
    let (_folder, path) = written(&[("a.jpg", b"1"), ("a.jpg", b"2")]);
    assert!(refused(&path).ends_with("expected each member once, found a.jpg twice"));
    let (_folder, path) = written(&[("readme", b"1")]);
    assert!(refused(&path).ends_with("expected members such as 0001.jpg, found none"));
    fs::write(&path, vec![b'x'; 2048]).unwrap();
    assert!(refused(&path).contains("not a readable tar shard"));
    assert!(refused(Path::new("no/such.tar")).starts_with("a.tar: "));
    // A member that claims more than the file holds.
    let (_folder, path) = written(&[("a.jpg", &[7; 100])]);
    let mut bytes = fs::read(&path).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_path("a.jpg").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    fs::write(&path, bytes).unwrap();
    let message = refused(&path);
    assert!(message.contains("a.jpg ends at byte 1099511628288, the file at"), "{message}");
}

/// A table of `tests/parquet`.
fn table() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    fs::read(folder.join("train-00000-of-00002.parquet")).unwrap()
}

#[test]
fn a_table_that_was_cut_or_spoilt_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let whole = table();
    let open = || (parquet::FORMAT.open)(std::slice::from_ref(&path));
    for length in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..length]).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("a.parquet: not a readable Parquet file: "), "{message}");
    }
    // Pages that are not what they were, behind a directory that is whole.
    let mut spoilt = whole.clone();
    spoilt[4..1500].fill(0xa5);
    fs::write(&path, &spoilt).unwrap();
    let message = open().unwrap().read(0, "image").unwrap_err().to_string();
    assert!(message.contains("a.parquet: not a readable Parquet file: "), "{message}");
}

#[test]
fn tables_of_other_columns_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["a", "b"].map(|name| folder.path().join(format!("{name}.parquet")));
    fs::write(&one, table()).unwrap();
    fs::write(&two, renamed(&table(), "note", "nota")).unwrap();
    let message = (parquet::FORMAT.open)(&[one, two]).unwrap_err().to_string();
    assert!(
        message.contains("b.parquet: not a readable Parquet file: expected the columns"),
        "{message}"
    );
    assert!(
        message.ends_with("found image, image.path, label, mask, mask.path, nota"),
        "{message}"
    );
}

fn renamed(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut bytes = bytes.to_vec();
    for place in 0..bytes.len() - from.len() {
        if bytes[place..].starts_with(from) {
            bytes[place..place + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// Every cut of a stream and every spoilt byte of its messages gives an error or the rows.
#[test]
fn an_arrow_file_that_was_cut_or_spoilt_is_named() {
    let whole =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/arrow/train/data-00000-of-00001.arrow");
    let whole = fs::read(whole).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.arrow");
    let open = || (arrow::FORMAT.open)(std::slice::from_ref(&path));
    fs::write(&path, &whole).unwrap();
    assert_eq!(open().unwrap().read(2, "note").unwrap().unwrap(), b"row 2");
    for length in (0..whole.len()).step_by(101) {
        fs::write(&path, &whole[..length]).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("a.arrow: not a readable Arrow file: "), "{length}: {message}");
    }
    for place in (0..whole.len()).step_by(61) {
        let mut spoilt = whole.clone();
        spoilt[place] ^= 0xff;
        fs::write(&path, &spoilt).unwrap();
        let Ok(records) = open() else { continue };
        for index in 0..records.len().min(8) {
            records.parts(index).iter().for_each(|part| drop(records.read(index, part)));
        }
    }
}

/// A structure that is null, and one whose bytes are; lists are no parts.
#[test]
fn nulls_within_one_another_are_no_values() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/arrow/nulls/rows.arrow");
    let records = (arrow::FORMAT.open)(&[path]).unwrap();
    let texts = |part: &str| -> Vec<Option<String>> {
        let read = |index| records.read(index, part).unwrap();
        (0..records.len())
            .map(|index| read(index).map(|bytes| String::from_utf8(bytes).unwrap()))
            .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(texts("image"), [some("one"), None, None, some("four")]);
    assert_eq!(texts("image.path"), [some("a"), None, some("c"), None]);
    assert_eq!(texts("deep.inner.note"), [some("x"), None, None, some("y")]);
    assert_eq!(texts("label"), [some("7"), None, some("9"), None]);
    assert_eq!(texts("masks"), vec![None; 4]);
    assert!(!records.parts(0).iter().any(|part| part.starts_with("masks")));
}

/// Lists, arrays and numbers with fractions, as `datasets` wrote them (`tests/lists/generate.py`).
#[test]
fn lists_are_lines_or_arrays() {
    for (format, name) in [(&parquet::FORMAT, "lists.parquet"), (&arrow::FORMAT, "lists.arrow")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists").join(name);
        let records = (format.open)(&[path]).unwrap();
        assert_eq!(records.len(), 6);
        for k in 0..6 {
            let text = |part: &str| {
                let bytes = records.read(k, part).unwrap();
                bytes.map(|bytes| String::from_utf8(bytes).unwrap())
            };
            let tags = [String::new(), format!("{k}\n"), format!("{k}\n-{k}\n")];
            assert_eq!(text("tags"), (k != 5).then(|| tags[k % 3].clone()), "{name} {k}");
            let captions =
                [format!("row {k}\n"), format!("row {k}\n"), format!("row {k}\ntwo lines\n")];
            assert_eq!(text("captions").unwrap(), captions[k % 3], "{name} {k}");
            assert_eq!(text("score"), (k != 4).then(|| (k as f32 / 4.0).to_string()));
            assert_eq!(text("weight").unwrap(), (k as f64 / 10.0).to_string());
            let ids: String = (0..k % 3).map(|n| format!("{}\n", 10 * k + n)).collect();
            assert_eq!(text("objects.id").unwrap(), ids);
            let of = |part: &str| records.read(k, part).unwrap().map(|bytes| npy::array(&bytes));
            let array = |part: &str| of(part).unwrap().unwrap();
            assert_eq!(of("depth").is_none(), k == 3);
            if k != 3 {
                let depth = ArrayD::from_shape_fn(vec![2, 3], |at| {
                    k as f64 + (3 * at[0] + at[1]) as f64 / 8.0
                });
                assert_eq!(array("depth"), depth);
            }
            let normals = ArrayD::from_shape_fn(vec![2, 2, 3], |at| {
                k as f64 - (6 * at[0] + 3 * at[1] + at[2]) as f64
            });
            assert_eq!(array("normals"), normals);
            let value = k as f64;
            let mask = ndarray::arr2(&[[value, 200.0], [255.0, 7.0], [0.0, 1.0]]).into_dyn();
            assert_eq!(array("mask"), mask);
            let fixed = ndarray::arr2(&[[value, -1.0], [2.0, 3.0], [4.0, -300.0]]).into_dyn();
            assert_eq!(array("fixed"), fixed);
            assert_eq!(array("objects.box").shape(), [k % 3, if k % 3 == 0 { 0 } else { 4 }]);
            if k % 2 == 0 {
                let message = records.read(k, "ragged").unwrap_err().to_string();
                let expected = format!(
                    "{name}: not a readable {}",
                    if name.ends_with('w') { "Arrow" } else { "Parquet" }
                );
                assert!(message.contains(&expected) && message.contains("ragged: "), "{message}");
                assert!(message.ends_with("found 2 and 1 values"), "{message}");
            } else {
                let ragged = array("ragged");
                assert!(ragged[[0, 1]].is_nan() && ragged[[1, 1]] == 2.0);
            }
        }
        let there = records.there(0);
        assert!(
            there.contains(", without those that are not read: boxes (list<float>)"),
            "{there}"
        );
    }
}

/// Both formats of the same rows, in batches and pages of several sizes.
#[test]
fn batches_hold_what_pages_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists");
    let one = (parquet::FORMAT.open)(&[folder.join("pages-snappy.parquet")]).unwrap();
    let two = (arrow::FORMAT.open)(&[folder.join("pages.arrow")]).unwrap();
    for row in 0..100 {
        for part in ["image", "label", "words", "depth"] {
            assert_eq!(one.read(row, part).unwrap(), two.read(row, part).unwrap(), "{row} {part}");
        }
    }
}

#[test]
fn files_of_other_arrays_are_not_one_set() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5");
    let files = ["nyu.mat", "frame-latest.hdf5"].map(|name| folder.join(name));
    let message = (hdf5::FORMAT.open)(&files).unwrap_err().to_string();
    assert!(message.contains("frame-latest.hdf5"), "{message}");
    assert!(message.contains("expected the columns"), "{message}");
}

/// A billion rows of Arrow, a million of Parquet and a billion of HDF5, in some hundred bytes each.
#[test]
fn more_rows_than_bytes_are_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (format, name, rows) in [
        (&arrow::FORMAT, "arrow/claims/many.arrow", 1_000_000_000),
        (&parquet::FORMAT, "parquet/many.parquet", 1_000_000),
        (&hdf5::FORMAT, "hdf5/rows.h5", 1_000_000_000),
    ] {
        let path = folder.join(name);
        let bytes = fs::metadata(&path).unwrap().len();
        let message = (format.open)(&[path]).unwrap_err().to_string();
        let expected = format!("claims {rows} rows in {bytes} bytes");
        assert!(message.contains(name) && message.ends_with(&expected), "{message}");
    }
    let wide = (hdf5::FORMAT.open)(&[folder.join("hdf5/wide.h5")]).unwrap();
    assert_eq!((wide.len(), wide.length(0)), (1, u64::MAX));
    assert!(wide.read(0, "images").is_err());
}

#[test]
fn arrays_of_bytes_are_photographs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5");
    let open = |name: &str| (hdf5::FORMAT.open)(&[folder.join(name)]).unwrap();
    let grey = open("grey.h5");
    let image = grey.image(1, "images").unwrap().unwrap();
    let image = crate::decode_image(&image, Path::new("grey")).unwrap();
    assert_eq!(image.dim(), (4, 6, 3));
    // Column 5, row 3 of the second: the last of its 24 numbers, times 3.
    assert_eq!([0, 1, 2].map(|c| image[[3, 5, c]]), [47 * 3; 3]);
    assert!(grey.read(1, "images").unwrap().unwrap().starts_with(b"\x93NUMPY"), "a map to labels");
    let message = grey.image(0, "metres").unwrap_err().to_string();
    assert!(message.ends_with("metres: expected images of bytes (uint8), found other numbers"));
    let message = open("channels-first.h5").image(0, "images").unwrap_err().to_string();
    let expected = "images: expected images with channels last, [height, width, 3], found [3, 4, \
                    6], channels first: write numpy.moveaxis(array, 1, -1)";
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn compressed_shards_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.gz");
    for bytes in [&[0x1f_u8, 0x8b][..], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(
            refused(&path),
            "a.tar: not a readable tar shard: compressed by gzip, which is not read, since samples \
             are read in any order: unpack it by gunzip"
        );
    }
}
