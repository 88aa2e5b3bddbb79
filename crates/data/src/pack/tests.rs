//! What was packed is what is read.

use std::fs;

use ndarray::array;

use super::*;
use crate::grey_png::grey_png as grey;

const MANIFEST: &str = r#"
name = "small"

[layout]
images = "images/{split}/{id}.png"

[splits]
train = {}
val = {}

[[tasks]]
name = "semseg"
kind = "semseg"
label = "seg/{id}.png"
format = "index_png"
classes = ["road", "car"]
palette = [[1, 2, 3], [4, 5, 6]]
ignore = [255]

[[tasks]]
name = "sal"
kind = "sal"
label = "sal/{id}.png"
format = "index_png"
ignore = [255]

[[tasks]]
name = "depth"
kind = "depth"
label = "depth/{id}.png"
format = "png16"
scale = 0.5

[[tasks]]
name = "scene"
kind = "classification"
label = "scene/{id}.txt"
format = "index_txt"
classes = ["street", "yard"]
"#;

/// Five images to learn from, of which the third has no label of the first task, and one other.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: String, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    for index in 0..6_u8 {
        let split = if index < 5 { "train" } else { "val" };
        let image = grey(&array![[index, 7], [9, 11]]).unwrap();
        write(format!("images/{split}/a.{index}.png"), image);
        if index != 2 {
            write(format!("seg/a.{index}.png"), grey(&array![[0, 1], [255, 1]]).unwrap());
        }
        write(format!("sal/a.{index}.png"), grey(&array![[1, 0], [index, 255]]).unwrap());
        write(format!("depth/a.{index}.png"), grey(&array![[0, 3], [4, index]]).unwrap());
        write(format!("scene/a.{index}.txt"), format!("{}\n", index % 2).into_bytes());
    }
    fs::write(folder.path().join("small.toml"), MANIFEST).unwrap();
    folder
}

fn packed(folder: &Path, samples: usize) -> Result<PackReport> {
    let options = PackOptions { samples, splits: Vec::new() };
    let root = Root::new(folder, false);
    pack(&folder.join("small.toml"), &root, &folder.join("packed"), &options, &|_, _, _| ())
}

#[test]
fn shards_hold_the_same_samples() {
    let folder = folder();
    let report = packed(folder.path(), 2).unwrap();
    let of = |name: &str, samples, shards| PackedSplit { name: name.into(), samples, shards };
    assert_eq!(report.splits, [of("train", 5, 3), of("val", 1, 1)]);
    let out = folder.path().join("packed");
    for split in ["train", "val"] {
        let root = Root::new(folder.path(), false);
        let before = FolderDataset::open(&folder.path().join("small.toml"), &root, split).unwrap();
        let after = FolderDataset::open(&report.manifest, &Root::new(&out, false), split).unwrap();
        assert_eq!(before.tasks(), after.tasks());
        assert_eq!(before.len(), after.len());
        for index in 0..before.len() {
            let (one, other) = (before.get(index).unwrap(), after.get(index).unwrap());
            assert_eq!(other.name, one.name.replace('.', "_"));
            assert_eq!((one.image, one.labels), (other.image, other.labels), "{split} {index}");
        }
    }
}

#[test]
fn what_is_there_stays_and_what_fails_leaves_nothing() {
    let folder = folder();
    packed(folder.path(), 9).unwrap();
    let message = packed(folder.path(), 9).unwrap_err().to_string();
    assert!(message.contains("packed: "), "{message}");
    fs::remove_dir_all(folder.path().join("packed")).unwrap();
    fs::write(folder.path().join("seg/a.4.png"), "no image").unwrap();
    assert!(packed(folder.path(), 9).unwrap_err().to_string().contains("a.4.png"));
    assert!(!folder.path().join("packed").exists());
}

#[test]
fn edges_of_several_annotators_are_refused() {
    let map = array![[0_u8, 1]];
    let label = crate::Label::Edges(vec![map.clone(), map]);
    assert_eq!(label_part(&label).unwrap_err(), "edges of 2 annotators");
}
