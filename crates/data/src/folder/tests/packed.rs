//! Data sets in shards, through manifests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::{Dataset, FolderDataset, Label, Result, Root, ValidationReport, split_sizes};

/// The shards of `tests/webdataset`.
fn open(layout: &str, tasks: &str) -> Result<FolderDataset> {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("m.toml");
    fs::write(
        &manifest,
        format!("name = \"w\"\n[layout]\n{layout}\n[splits]\ntrain = {{}}\n{tasks}"),
    )
    .unwrap();
    FolderDataset::open(&manifest, &Root::new(&shards(), false), "train")
}

fn shards() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/webdataset")
}

const LAYOUT: &str = "format = \"webdataset\"\nimages = \"{split}-{000000..000001}.tar\"";
const TASKS: &str = "[[tasks]]\nname = \"semseg\"\nkind = \"semseg\"\nlabel = \"seg.png\"\n\
                     format = \"index_png\"\nclasses = [\"a\", \"b\", \"c\"]\n\
                     [[tasks]]\nname = \"kind\"\nkind = \"classification\"\nlabel = \"cls\"\n\
                     format = \"index_txt\"\nclasses = [\"x\", \"y\"]\n";

#[test]
fn samples_of_all_shards_have_their_labels() {
    let set = open(LAYOUT, TASKS).unwrap();
    assert_eq!(set.len(), 4);
    let mut names = BTreeSet::new();
    for index in 0..set.len() {
        let sample = set.get(index).unwrap();
        sample.check(set.tasks()).unwrap();
        assert_eq!(sample.labels["kind"], Label::Category(index as u32 % 2));
        let Label::Classes(map) = &sample.labels["semseg"] else { panic!() };
        assert!(map.iter().all(|&class| usize::from(class) == index % 3));
        assert!(set.problems(index).is_empty());
        names.insert(sample.name);
        let place = set.origin(index).unwrap().image;
        assert!(place.ends_with(&format!("train-00000{}.tar#street/000{index}", index / 2)));
    }
    assert_eq!(names.len(), 4);
    let record = &set.records()[0];
    assert_eq!((record.samples, record.split.as_str()), (4, "train"));
    assert_eq!(record.manifest["layout"]["format"], "webdataset");
}

#[test]
fn shares_of_records_part_them() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("m.toml");
    let layout = LAYOUT.replace("{split}", "train");
    let splits = "train = { fraction = [0.0, 0.5] }\nval = { fraction = [0.5, 1.0] }";
    fs::write(&manifest, format!("name = \"w\"\n[layout]\n{layout}\n[splits]\n{splits}\n{TASKS}"))
        .unwrap();
    let root = Root::new(&shards(), false);
    let sizes = split_sizes(&manifest, &root).unwrap();
    assert!(sizes.iter().all(|(_, size)| *size.as_ref().unwrap() == 2));
    let report = ValidationReport::of_folder(&manifest, &root, &[], &|_, _, _| {}).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.labels.iter().all(|count| (count.labelled, count.images) == (2, 2)));
}

#[test]
fn wrong_parts_and_keys_are_named() {
    let message = |layout: &str, tasks: &str| open(layout, tasks).unwrap_err().to_string();
    let found = message(LAYOUT, &TASKS.replace("seg.png", "seg.webp"));
    let expected = "tasks.semseg.label: expected parts of records, which are [";
    assert!(found.contains(expected) && found.ends_with("found seg.webp"), "{found}");
    let found = message(&LAYOUT.replace("000001}", "000002}"), TASKS);
    assert!(found.contains("train-000002.tar: "), "{found}");
    let found = message(&LAYOUT.replace("{000000..000001}", "{000001..000000}"), TASKS);
    assert!(found.contains("layout.images: expected a range such as"), "{found}");
    let found = message(&LAYOUT.replace("webdataset", "web_dataset"), TASKS);
    assert!(found.contains("did you mean `webdataset`?"), "{found}");
    let found = message(LAYOUT, &TASKS.replace("\"index_txt\"", "\"index\""));
    assert!(found.contains("tasks.kind.format: expected a format of parts of records"), "{found}");
    let found = message("images = \"{id}.png\"\nimage = \"png\"", TASKS);
    assert!(found.contains("layout.image: expected no such key"), "{found}");
    let found = message(&format!("{LAYOUT}\nimage = \"jpg;webp\""), TASKS);
    let expected = "layout.image: expected parts of records, which are [";
    assert!(found.contains(expected) && found.ends_with("found jpg;webp"), "{found}");
    let few = open(LAYOUT, &TASKS.replace(", \"y\"]", "]")).unwrap();
    assert!(few.get(1).unwrap_err().to_string().ends_with("expected a class below 1, found 1"));
}

/// Rows of `tests/parquet` and `tests/arrow`, which `datasets` wrote: the seventh has no mask.
#[test]
fn rows_of_all_tables_have_their_labels() {
    let tasks = TASKS.replace("seg.png", "mask").replace("\"cls\"", "\"label\"");
    for (format, images, name) in [
        ("parquet", "{split}-*.parquet", "train-00001-of-00002-000000"),
        ("arrow", "{train,val}/data-{00000..00000}-of-00001.arrow", "data-00000-of-00001-000000"),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(format);
        let temporary = tempfile::tempdir().unwrap();
        let manifest = temporary.path().join("m.toml");
        let write = |tasks: &str| {
            let layout = format!("[layout]\nformat = {format:?}\nimages = {images:?}\n");
            let text = format!("name = \"p\"\n{layout}[splits]\ntrain = {{}}\n{tasks}");
            fs::write(&manifest, text).unwrap();
            FolderDataset::open(&manifest, &Root::new(&folder, false), "train")
        };
        let set = write(&tasks).unwrap();
        assert_eq!(set.len(), 8);
        for index in [7, 0, 3, 6, 4, 5, 1, 2] {
            let sample = set.get(index).unwrap();
            sample.check(set.tasks()).unwrap();
            assert_eq!(sample.image.dim(), (10, 12, 3));
            assert_eq!(sample.labels["kind"], Label::Category(index as u32 % 2));
            match sample.labels.get("semseg") {
                Some(Label::Classes(map)) => {
                    assert!(map.iter().all(|&class| usize::from(class) == index % 3));
                }
                _ => assert_eq!(index, 6),
            }
        }
        assert_eq!(set.get(5).unwrap().name, name);
        let found = write(&tasks.replace("\"mask\"", "\"masks\"")).unwrap_err().to_string();
        let expected = "tasks.semseg.label: expected parts of records, which are [image, image.path, \
                        ";
        assert!(found.contains(expected) && found.ends_with("found masks"), "{found}");
    }
}
