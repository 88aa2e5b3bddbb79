//! Published data sets, whose manifests are inferred from their files.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use polyptych_data::{
    Dataset, FolderDataset, InferredManifest, Root, TaskKind, TaskSpec, infer_manifest,
};
use polyptych_synthetic::write_copy;

/// A synthetic copy, and its inferred manifest written beside it.
fn inferred_copy(name: &str, prepare: impl Fn(&Path)) -> (TempDir, PathBuf, InferredManifest) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    write_copy(name, &root).unwrap();
    prepare(&root);
    let found = infer_manifest("mine", &root).unwrap();
    let manifest = folder.path().join("mine.toml");
    fs::write(&manifest, &found.manifest).unwrap();
    (folder, manifest, found)
}

fn kinds(folder: &TempDir, manifest: &Path, split: &str) -> Vec<(String, TaskKind, usize)> {
    let dataset =
        FolderDataset::open(manifest, &Root::new(&folder.path().join("set"), false), split)
            .unwrap();
    for index in 0..dataset.len() {
        dataset.get(index).unwrap().check(dataset.tasks()).unwrap();
    }
    let task = |task: &TaskSpec| (task.name.clone(), task.kind, task.classes.len());
    let mut tasks: Vec<_> = dataset.tasks().iter().map(task).collect();
    tasks.sort_by(|a, b| a.0.cmp(&b.0));
    tasks
}

fn named(name: &str, kind: TaskKind, classes: usize) -> (String, TaskKind, usize) {
    (name.to_owned(), kind, classes)
}

#[test]
fn streets_are_paired_through_cities_and_words() {
    let (folder, manifest, inferred) = inferred_copy("cityscapes", |_| {});
    assert!(
        inferred.manifest.contains("leftImg8bit/{split}/{group}/{id}_leftImg8bit.png"),
        "{inferred:?}"
    );
    assert_eq!(inferred.splits, ["train", "val"]);
    let tasks = kinds(&folder, &manifest, "train");
    let names: Vec<&str> = tasks.iter().map(|task| task.0.as_str()).collect();
    assert_eq!(names, ["disparity", "gtfine_instanceids", "gtfine_labelids"]);
    assert_eq!(tasks[0], named("disparity", TaskKind::Depth, 0));
    assert_eq!(tasks[2].1, TaskKind::Semseg);
}

#[test]
fn arrays_and_pictures_differ_by_their_values() {
    let (folder, manifest, inferred) = inferred_copy("nyud", |root| {
        fs::remove_dir_all(root.join("gt_sets")).unwrap();
        for late in
            ["images/000030.png", "images/000031.png", "edge/000030.png", "normals/000030.png"]
        {
            fs::remove_file(root.join(late)).unwrap();
        }
        fs::remove_file(root.join("edge/000031.png")).unwrap();
        fs::remove_file(root.join("normals/000031.png")).unwrap();
    });
    assert!(inferred.manifest.contains("fraction = [0.9, 1.0]"), "{}", inferred.manifest);
    let expected = [
        named("depth", TaskKind::Depth, 0),
        named("edge", TaskKind::Edge, 0),
        named("normals", TaskKind::Normals, 0),
        named("segmentation", TaskKind::Semseg, 41),
    ];
    assert_eq!(kinds(&folder, &manifest, "train"), expected);
}

#[test]
fn folders_of_classes_are_classes() {
    let (folder, manifest, inferred) = inferred_copy("cars", |_| {});
    assert!(inferred.manifest.contains("{split}/{class}/{id}.jpg"), "{}", inferred.manifest);
    let expected = [named("mine", TaskKind::Classification, 10)];
    assert_eq!(kinds(&folder, &manifest, "train"), expected);
}

#[test]
fn what_is_not_understood_is_reported() {
    let (_folder, _, inferred) = inferred_copy("pascal_context", |_| {});
    let note = |word: &str| inferred.notes.iter().any(|note| note.contains(word));
    assert!(note("human_parts/{id}.mat: a MATLAB file"), "{:?}", inferred.notes);
    let empty = tempfile::tempdir().unwrap();
    let message = infer_manifest("mine", empty.path()).unwrap_err().to_string();
    assert!(
        message
            .contains("expected JPEG or PNG photographs, or WebP, TIFF, BMP, found no such file"),
        "{message}"
    );
    fs::create_dir(empty.path().join("images")).unwrap();
    let (folder, ..) = inferred_copy("nyud", |_| {});
    fs::copy(folder.path().join("set/images/000020.jpg"), empty.path().join("images/a.jpg"))
        .unwrap();
    let message = infer_manifest("mine", empty.path()).unwrap_err().to_string();
    assert!(message.contains("images/a.jpg") || message.contains("no labels"), "{message}");
}
