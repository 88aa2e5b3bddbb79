//! Pages of files that PyArrow wrote (`tests/lists/generate.py`).

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::*;

const ROWS: usize = 100;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists").join(name)
}

fn opened(name: &str, pages: &Arc<Pages>) -> Columns {
    Columns::opened(Shard::File(file(name), Arc::default()), 0, pages).unwrap()
}

/// What each row has, as the script says.
fn expected(row: usize, part: &str) -> Option<Vec<u8>> {
    let words = (0..row % 4).map(|n| format!("{row}-{n}\n"));
    match part {
        "label" => (row % 11 != 3).then(|| (row % 5).to_string().into_bytes()),
        "words" => Some(words.collect::<String>().into_bytes()),
        _ => {
            let value = |y: usize, x: usize| row as f64 + y as f64 / 4.0 + x as f64;
            let values = (0..12).flat_map(|n| value(n / 4, n % 4).to_le_bytes());
            Some(crate::npy::npy("<f8", &[3, 4], values))
        }
    }
}

#[test]
fn rows_in_order_unpack_each_page_once() {
    for name in ["pages-snappy.parquet", "pages-gzip.parquet"] {
        let pages = Arc::<Pages>::default();
        let table = opened(name, &pages);
        assert_eq!(table.parts(), ["depth", "image", "image.path", "label", "words"]);
        for row in 0..ROWS {
            for part in ["depth", "image", "label", "words"] {
                let value = table.read(row, part).unwrap();
                let alone = opened(name, &Arc::default()).read(row, part).unwrap();
                assert_eq!(value, alone, "{name} {row} {part}");
                match part {
                    "image" => assert_eq!(value.unwrap().len(), 20 + row % 7),
                    _ => assert_eq!(value, expected(row, part), "{name} {row} {part}"),
                }
            }
        }
        let counts: Vec<_> = table.chunks.iter().filter_map(OnceLock::get).collect();
        let count: usize = counts.iter().map(|chunk| chunk.counts().0).sum();
        let within: usize = counts.iter().map(|chunk| chunk.counts().1).sum();
        assert!((20..200).contains(&count), "{name}: {count} pages, {within} within rows");
        assert_eq!(pages.0.made.load(Ordering::Relaxed), count, "{name}");
    }
}

#[test]
fn rows_of_any_order_are_those_in_order() {
    let table = opened("pages-snappy.parquet", &Arc::default());
    for row in (0..ROWS).map(|n| n * 37 % ROWS) {
        for part in ["depth", "label", "words"] {
            assert_eq!(table.read(row, part).unwrap(), expected(row, part), "{row} {part}");
        }
    }
}

#[test]
fn what_packs_its_pages_otherwise_is_refused_by_name() {
    let table = opened("pages-zstd.parquet", &Arc::default());
    let message = table.read(0, "label").unwrap_err().to_string();
    assert!(message.contains("pages-zstd.parquet: not a readable Parquet file: label: "));
    assert!(message.contains("packed by ZSTD"), "{message}");
}

/// Every spoilt byte of a file with lists gives an error or values.
#[test]
fn spoilt_pages_give_errors() {
    let whole = std::fs::read(file("pages-snappy.parquet")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    for place in (0..whole.len()).step_by(29) {
        let mut spoilt = whole.clone();
        spoilt[place] ^= 0xff;
        std::fs::write(&path, &spoilt).unwrap();
        let Ok(table) = Columns::open(&path) else { continue };
        for row in [0, 49, 50, 99].into_iter().filter(|&row| row < table.rows()) {
            table.parts().iter().for_each(|part| drop(table.read(row, part)));
        }
    }
}
