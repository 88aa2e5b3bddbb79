//! Every synthetic copy, read through the manifest of its original.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use polyptych_data::{Dataset, FolderDataset, Root};

fn manifest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../datasets/{name}.toml"))
}

fn copy(name: &str) -> (TempDir, CopyContents) {
    let folder = tempfile::tempdir().unwrap();
    let written = write_copy(name, folder.path()).unwrap();
    (folder, written)
}

/// What reading all splits of the copy gives.
fn read(name: &str, root: &Path) -> CopyContents {
    let mut found = CopyContents::default();
    for split in FolderDataset::splits(&manifest(name)).unwrap() {
        let dataset =
            FolderDataset::open(&manifest(name), &Root::new(root, false), &split).unwrap();
        found.images.insert(split.clone(), dataset.len());
        for index in 0..dataset.len() {
            let sample = dataset.get(index).unwrap();
            sample.check(dataset.tasks()).unwrap();
            for (task, label) in &sample.labels {
                let entry = found.labels.entry((split.clone(), task.clone())).or_default();
                entry.0 += 1;
                entry.1.add(label);
            }
        }
    }
    found
}

#[test]
fn copies_read_as_they_were_written() {
    for name in CopyContents::names() {
        let (folder, written) = copy(name);
        let found = read(name, folder.path());
        assert_eq!(found, written, "{name}");
    }
}

/// Boundaries are outlines of regions that the maker drew, read back from `.mat` and PNG files.
#[test]
fn outlines_are_those_of_the_regions_that_were_drawn() {
    for name in ["pascal_context", "cityscapes"] {
        let (_folder, written) = copy(name);
        for split in ["train", "val"] {
            let (count, histogram) = &written.labels[&(split.to_owned(), "edge".to_owned())];
            assert_eq!(*count, written.images[split], "{name}");
            let share = histogram.0[&1] as f64 / histogram.0.values().sum::<u64>() as f64;
            assert!((0.005..0.2).contains(&share), "{name}: {share}");
        }
    }
}

#[test]
fn odd_cases_are_there() {
    let (_folder, written) = copy("pascal_context");
    let people = &written.labels[&("train".to_owned(), "human_parts".to_owned())];
    assert_eq!(people.0, 6);
    assert_eq!(people.1.0.len(), 7);
    assert!(written.labels[&("train".to_owned(), "semseg".to_owned())].1.0.contains_key(&255));
    let (_folder, written) = copy("cityscapes");
    assert_eq!(written.labels[&("train".to_owned(), "depth".to_owned())].0, 6);
}

#[test]
fn tasks_that_nobody_wants_need_no_files() {
    let (folder, _) = copy("pascal_context");
    for gone in ["human_parts", "normals_distill", "sal_distill", "pascal-context"] {
        std::fs::remove_dir_all(folder.path().join(gone)).unwrap();
    }
    let open = |wanted: fn(&str) -> bool| {
        FolderDataset::open_for(
            &manifest("pascal_context"),
            &Root::new(folder.path(), false),
            "val",
            wanted,
        )
    };
    let dataset = open(|task| task == "semseg").unwrap();
    assert_eq!((dataset.tasks().len(), dataset.get(0).unwrap().labels.len()), (5, 1));
    let message = open(|_| true).unwrap_err().to_string();
    assert!(message.contains("human_parts: expected at least 1 label file"), "{message}");
}

#[test]
fn only_new_folders_are_filled() {
    let (folder, _) = copy("cars");
    let message = write_copy("cars", folder.path()).unwrap_err().to_string();
    assert!(message.contains("folder: expected a new folder"), "{message}");
    let message = write_copy("camvid", Path::new("x")).unwrap_err().to_string();
    assert!(message.contains("name: expected one of ade20k, aircraft,"), "{message}");
}

#[test]
fn files_of_other_versions_and_other_classes_say_what_to_do() {
    let (folder, _) = copy("pascal_context");
    let message = |spoilt: &str, bytes: &[u8]| {
        let path = folder.path().join(spoilt);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let all = |_: &str| true;
        let dataset = FolderDataset::open_for(
            &manifest("pascal_context"),
            &Root::new(folder.path(), false),
            "train",
            all,
        );
        let message = dataset.unwrap().get(0).unwrap_err().to_string();
        std::fs::write(&path, good).unwrap();
        message.replace(&format!("{}/", folder.path().display()), "")
    };
    let mut hdf = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".to_vec();
    hdf.resize(600, 0);
    assert_eq!(
        message("human_parts/2008_000000.mat", &hdf),
        "human_parts/2008_000000.mat: not a readable MATLAB v5 file: version 7.3, which is HDF5: \
         save it with -v7"
    );
    let other = mat::file("LabelMap2", &mat::Value::Number(1.0));
    assert!(
        message("pascal-context/trainval/2008_000000.mat", &other)
            .ends_with("no variable LabelMap, found [LabelMap2]")
    );
    let part = |name: &str| {
        let mask = || mat::Value::Bytes(ndarray::Array2::ones((64, 96)));
        let part = vec![("part_name", mat::Value::Text(name.to_owned())), ("mask", mask())];
        let object = vec![
            ("class_ind", mat::Value::Number(15.0)),
            ("mask", mask()),
            ("parts", mat::Value::Structs(vec![part])),
        ];
        let anno = vec![("objects", mat::Value::Structs(vec![object]))];
        mat::file("anno", &mat::Value::Structs(vec![anno]))
    };
    let wing = message("human_parts/2008_000000.mat", &part("lwing"));
    assert!(wing.contains("human_parts: expected one of the parts [hair, head, "), "{wing}");
    assert!(wing.ends_with("found `lwing`"), "{wing}");
    // 59 classes of PASCAL-Context instead of the 21 of the VOC.
    let folder = Folder::new(folder.path());
    let wide = ndarray::Array2::from_elem((64, 96), 33);
    let semseg = "semseg/VOC12/2008_000000.png";
    let (path, good) = (folder.path(semseg), std::fs::read(folder.path(semseg)).unwrap());
    folder.grey_png(semseg, &wide).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, good).unwrap();
    assert_eq!(
        message(semseg, &bytes),
        "semseg/VOC12/2008_000000.png: semseg: expected a class below 21 or one of [255] for no \
         label, found 33 at x = 0, y = 0"
    );
}
