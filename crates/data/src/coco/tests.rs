//! Masks beside those of pycocotools, and files that are wrong.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;
use serde_json::Value;

use super::polygon::rasterise;
use super::rle::Rle;
use super::{CocoIndex, annotations::CocoFile};

// Written by pycocotools 2.0 (`tests/coco/generate.py`).
const MASKS: &str = include_str!("../../tests/coco/masks.json");

fn mask(rle: &Rle) -> Array2<u8> {
    let mut mask = Array2::zeros((rle.size[0], rle.size[1]));
    rle.each_pixel(|y, x| mask[[y, x]] = 1);
    mask
}

fn size(case: &Value) -> [usize; 2] {
    serde_json::from_value(case["size"].clone()).unwrap()
}

#[test]
fn polygons_are_those_of_pycocotools() {
    let cases: Value = serde_json::from_str(MASKS).unwrap();
    for case in cases["polygons"].as_array().unwrap() {
        let xy: Vec<f64> = serde_json::from_value(case["polygon"].clone()).unwrap();
        let rows: Vec<String> = serde_json::from_value(case["mask"].clone()).unwrap();
        let expected = Array2::from_shape_fn((rows.len(), rows[0].len()), |(y, x)| {
            rows[y].as_bytes()[x] - b'0'
        });
        let found = rasterise(size(case), &xy).unwrap();
        assert_eq!(mask(&found), expected, "{xy:?}");
        assert_eq!(found, Rle::new(found.size, found.counts.clone()).unwrap());
    }
}

#[test]
fn runs_are_those_of_pycocotools() {
    let cases: Value = serde_json::from_str(MASKS).unwrap();
    for case in cases["runs"].as_array().unwrap() {
        let counts: Vec<u32> = serde_json::from_value(case["counts"].clone()).unwrap();
        let text = case["text"].as_str().unwrap();
        let found = Rle::from_text(size(case), text).unwrap();
        assert_eq!(found, Rle::new(size(case), counts).unwrap(), "{text}");
    }
}

#[test]
fn wrong_masks_are_named() {
    let message = Rle::new([2, 3], vec![1, 4]).unwrap_err();
    assert_eq!(message, "expected RLE of 2 x 3 pixels, found one of 5");
    assert_eq!(Rle::from_text([2, 3], "o").unwrap_err(), "RLE that ends within a number");
    assert_eq!(Rle::from_text([2, 3], "\"").unwrap_err(), "the byte 34 in RLE");
    assert_eq!(Rle::from_text([2, 3], "O").unwrap_err(), "a run of -1 pixels in RLE");
    let message = rasterise([2, 3], &[0.0, 0.0, 1.0, 1.0]).unwrap_err();
    assert_eq!(message, "expected a polygon of 6 or more numbers, x and y, found 4");
    let message = rasterise([2, 3], &[0.0, 0.0, 1e9, 1.0, 2.0, 2.0]).unwrap_err();
    assert_eq!(message, "expected coordinates within 65536 pixels, found 1000000000");
}

fn opened(annotation: &str, image: &str) -> Result<CocoIndex, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    let text = format!(
        r#"{{"images": [{{"id": 1, "file_name": "a.jpg", "height": 4, "width": 5}}{image}],
            "categories": [{{"id": 3, "name": "cat"}}, {{"id": 4, "name": "dog"}}],
            "annotations": [{annotation}]}}"#
    );
    std::fs::write(&path, text).unwrap();
    let kinds = |_: &[_]| Ok(HashMap::from([(3, 0)]));
    let shorten =
        |error: crate::Error| error.to_string().replace(&format!("{}: ", path.display()), "");
    let index = CocoIndex::open(&path, kinds).map_err(shorten)?;
    index.each_pixel("a.jpg", |_, _, _| {}).map_err(shorten)?;
    Ok(index)
}

#[test]
fn ids_and_masks_that_do_not_fit_are_named() {
    let wrong = |annotation: &str, image: &str| opened(annotation, image).unwrap_err();
    let with = |rest: &str| format!(r#"{{"image_id": 1, "category_id": 3, {rest}}}"#);
    opened(&with(r#""segmentation": {"counts": [3, 4, 13], "size": [4, 5]}"#), "").unwrap();
    // What nobody asks for is not decoded.
    opened(r#"{"image_id": 1, "category_id": 4}"#, "").unwrap();
    let found = wrong(r#"{"image_id": 1, "category_id": 9}"#, "");
    let expected = "not a readable COCO JSON: annotations.0: category_id: expected one of \
                    `categories`, found 9";
    assert_eq!(found, expected);
    let found = wrong(r#"{"image_id": 7, "category_id": 3}"#, "");
    assert!(
        found.ends_with("annotations.0: image_id: expected one of `images`, found 7"),
        "{found}"
    );
    let found = wrong(&with(r#""segmentation": {"counts": [3, 4], "size": [4, 5]}"#), "");
    assert!(found.ends_with("a.jpg: expected RLE of 4 x 5 pixels, found one of 7"), "{found}");
    let found = wrong(&with(r#""segmentation": {"counts": [20], "size": [5, 4]}"#), "");
    assert!(found.ends_with("a.jpg: expected RLE of 4 x 5 pixels, found 5 x 4"), "{found}");
    let found = wrong(&with(r#""bbox": [0, 0, 2, 2]"#), "");
    assert!(found.ends_with("a.jpg: expected polygons or RLE, found neither"), "{found}");
    let found = wrong(&with(r#""segmentation": "x""#), "");
    assert!(found.contains("expected polygons, or RLE with `counts` and `size`"), "{found}");
    let found = wrong(r#"{"image_id": 1, "file_name": "../a.png", "segments_info": []}"#, "");
    assert!(found.contains("annotations.0: file_name: expected one below"), "{found}");
    let again = r#", {"id": 1, "file_name": "b.jpg", "height": 4, "width": 5}"#;
    assert!(wrong("", again).ends_with("images: two with id 1 or name b.jpg"));
    let huge = r#", {"id": 2, "file_name": "b.jpg", "height": 99999999, "width": 99999999}"#;
    assert!(wrong("", huge).contains("b.jpg: 99999999 x 99999999 pixels, expected 1 to"));
    assert!(CocoFile::parse(b"{\"images\": [").unwrap_err().contains("EOF while parsing"));
    assert!(CocoFile::read(Path::new("no/such.json")).is_err());
}

/// Detectron2 leaves such polygons out; pycocotools draws nothing for them behind others.
#[test]
fn polygons_of_less_than_three_corners_are_skipped() {
    let pixels = |segmentation: &str| {
        let text =
            format!(r#"{{"image_id": 1, "category_id": 3, "segmentation": {segmentation}}}"#);
        let index = opened(&text, "").unwrap();
        let mut count = 0;
        index.each_pixel("a.jpg", |_, _, _| count += 1).unwrap();
        (count, index.file.annotations[0].skipped(), index.file.annotations[0].has_mask())
    };
    let square = "[1, 1, 3, 1, 3, 3, 1, 3]";
    assert_eq!(pixels(&format!("[{square}]")), (4, 0, true));
    assert_eq!(pixels(&format!("[[0, 0, 5, 4], {square}, [2, 2]]")), (4, 2, true));
    assert_eq!(pixels("[[0, 0, 5, 4]]"), (0, 1, false));
    assert_eq!(pixels("[[]]"), (0, 1, false));
    let odd = r#"{"image_id": 1, "category_id": 3, "segmentation": [[0, 0, 5, 4, 1]]}"#;
    let message = opened(odd, "").unwrap_err();
    assert!(message.ends_with("expected a polygon of 6 or more numbers, x and y, found 5"));
}

/// A task for each kind of region: the file is in memory once.
#[test]
fn indices_of_one_file_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    let text = r#"{"images": [], "annotations": [], "categories": [{"id": 3, "name": "cat"}]}"#;
    std::fs::write(&path, text).unwrap();
    let open = || CocoIndex::open(&path, |_| Ok(HashMap::new())).unwrap();
    let (one, other) = (open(), open());
    assert!(Arc::ptr_eq(&one.file, &other.file));
}
