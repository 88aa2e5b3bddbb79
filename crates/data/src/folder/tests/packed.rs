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
/// A column that a manifest names and a table lacks is named with those that there are.
#[test]
fn a_column_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("m.toml");
    let layout = "format = \"parquet\"\nimages = \"{split}-{00000..00001}-of-00002.parquet\"";
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    for (layout, label, expected) in [
        (
            layout.to_owned(),
            "depth_map",
            "tasks.semseg.label: expected parts of records, which are [",
        ),
        (format!("{layout}\nimage = \"photo\""), "mask", "layout.image: expected "),
    ] {
        let task = TASKS.split("[[tasks]]").nth(1).unwrap().replace("seg.png", label);
        let text =
            format!("name = \"p\"\n[layout]\n{layout}\n[splits]\ntrain = {{}}\n[[tasks]]{task}");
        fs::write(&manifest, text).unwrap();
        let message = FolderDataset::open(&manifest, &Root::new(&root, false), "train");
        let message = message.unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains("image"), "{message}");
    }
}

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

/// The `note` of each row is its caption; a task of texts has no classes and no scale.
#[test]
fn texts_of_a_column_are_captions() {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = temporary.path().join("m.toml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    let open = |more: &str| {
        let layout = "[layout]\nformat = \"parquet\"\nimages = \"{split}-*.parquet\"\n";
        let text = format!(
            "name = \"p\"\n{layout}[splits]\ntrain = {{}}\n[[tasks]]\nname = \"caption\"\n\
             kind = \"retrieval\"\nlabel = \"note\"\nformat = \"text\"\n{more}"
        );
        fs::write(&manifest, text).unwrap();
        FolderDataset::open(&manifest, &Root::new(&folder, false), "train")
    };
    let set = open("").unwrap();
    for index in 0..set.len() {
        let sample = set.get(index).unwrap();
        sample.check(set.tasks()).unwrap();
        assert_eq!(sample.labels["caption"], Label::Caption(format!("row {index}")));
    }
    for (more, expected) in [
        ("scale = 2.0", "tasks.caption.scale: expected kind depth beside it"),
        ("classes = [\"a\"]", "tasks.caption.classes: expected no names"),
        ("resize = true", "tasks.caption.resize: expected no such key beside kind retrieval"),
    ] {
        let message = open(more).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

/// Rows of arrays as MATLAB keeps NYUD-v2 (`tests/hdf5`).
#[test]
fn rows_of_arrays_have_their_labels() {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = temporary.path().join("m.toml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5");
    let open = |depth: &str| {
        let text = format!(
            "name = \"h\"\n[layout]\nformat = \"hdf5\"\nimages = \"nyu.mat\"\n[splits]\n\
             train = {{}}\n[[tasks]]\nname = \"depth\"\nkind = \"depth\"\nlabel = \"{depth}\"\n\
             format = \"npy\"\n[[tasks]]\nname = \"semseg\"\nkind = \"semseg\"\n\
             label = \"labels\"\nformat = \"npy\"\nignore = [0]\nmap = [[1, 0], [2, 1]]\n\
             map_others = 2\nclasses = [\"a\", \"b\", \"c\"]\n"
        );
        fs::write(&manifest, text).unwrap();
        FolderDataset::open(&manifest, &Root::new(&folder, false), "train")
    };
    let set = open("depths").unwrap();
    assert_eq!(set.len(), 3);
    for index in [2, 0, 1] {
        let sample = set.get(index).unwrap();
        sample.check(set.tasks()).unwrap();
        assert_eq!(sample.name, format!("nyu-{index:06}"));
        // Column 5, row 3 of the image: the 24th number of its row in each array.
        let last = index * 24 + 23;
        let colours = [0, 1, 2].map(|c| ((3 * index + c) * 24 + 23) % 251);
        assert_eq!([0, 1, 2].map(|c| usize::from(sample.image[[3, 5, c]])), colours);
        let Label::Depth(depth) = &sample.labels["depth"] else { panic!() };
        assert_eq!(depth[[3, 5]], last as f32 / 8.0 + 0.5);
        let Label::Classes(map) = &sample.labels["semseg"] else { panic!() };
        assert_eq!(map[[3, 5]], [255, 0, 1, 2, 2][last % 5]);
    }
    let message = open("accelData").unwrap_err().to_string();
    let expected =
        "tasks.depth.label: expected parts of records, which are [depths, images, labels]";
    assert!(message.contains(expected), "{message}");
    fs::write(temporary.path().join("nyu.mat"), "MATLAB 7.3").unwrap();
    let message = FolderDataset::open(&manifest, &Root::new(temporary.path(), false), "train");
    let message = message.unwrap_err().to_string();
    assert!(message.contains("nyu.mat: not a readable HDF5 file: "), "{message}");
}

/// A split of NYUD-v2's own file, whose rows a list numbers; text may have any order.
#[test]
fn a_list_chooses_among_records() {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = temporary.path().join("m.toml");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5/nyu.mat");
    fs::copy(file, temporary.path().join("nyu.mat")).unwrap();
    let open = |split: &str, lines: &str| {
        fs::write(temporary.path().join("train.txt"), lines).unwrap();
        let text = format!(
            "name = \"h\"\n[layout]\nformat = \"hdf5\"\nimages = \"nyu.mat\"\n[splits]\n\
             train = {split}\n[[tasks]]\nname = \"depth\"\nkind = \"depth\"\nlabel = \"depths\"\n\
             format = \"npy\"\n"
        );
        fs::write(&manifest, text).unwrap();
        FolderDataset::open(&manifest, &Root::new(temporary.path(), false), "train")
    };
    let list = "{ list = \"train.txt\" }";
    let set = open(list, "nyu-000002\nnyu-000000\n").unwrap();
    let names: Vec<String> = (0..set.len()).map(|index| set.get(index).unwrap().name).collect();
    assert_eq!(names, ["nyu-000000", "nyu-000002"]);
    let Label::Depth(depth) = &set.get(1).unwrap().labels["depth"] else { panic!() };
    assert_eq!(depth[[3, 5]], (2 * 24 + 23) as f32 / 8.0 + 0.5);
    let half = "{ list = \"train.txt\", fraction = [0.0, 0.5] }";
    assert_eq!(open(half, "nyu-000002\nnyu-000000\n").unwrap().len(), 1);
    let message = open(list, "nyu-000000\nnyu-000003\n").unwrap_err().to_string();
    let expected = "train.txt: id: expected keys of records of nyu.mat, such as nyu-000000, found \
                    nyu-000003";
    assert!(message.ends_with(expected), "{message}");
    let message = open(list, "").unwrap_err().to_string();
    assert!(message.ends_with("train.txt lists none"), "{message}");
    let tables = "{ list = \"train.txt\", tables = { a = \"train.txt\" } }";
    let message = open(tables, "").unwrap_err().to_string();
    assert!(message.contains("splits.train: expected one of `list`, `tables`"), "{message}");
}

/// Grey photographs, with a mask of truth values as h5py writes them.
#[test]
fn grey_arrays_are_photographs_and_truth_values_labels() {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = temporary.path().join("m.toml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5");
    let text = "name = \"h\"\n[layout]\nformat = \"hdf5\"\nimages = \"grey.h5\"\n[splits]\n\
                train = {}\n[[tasks]]\nname = \"sal\"\nkind = \"sal\"\nlabel = \"mask\"\n\
                format = \"npy\"\n";
    fs::write(&manifest, text).unwrap();
    let set = FolderDataset::open(&manifest, &Root::new(&folder, false), "train").unwrap();
    assert_eq!(set.len(), 3);
    let sample = set.get(1).unwrap();
    sample.check(set.tasks()).unwrap();
    assert_eq!([0, 1, 2].map(|c| sample.image[[3, 5, c]]), [47 * 3; 3]);
    let Label::Binary(map) = &sample.labels["sal"] else { panic!() };
    assert!(map.iter().enumerate().all(|(at, &on)| on == u8::from((24 + at) % 3 == 0)));
}

/// Rows whose image is null, or a path alone.
#[test]
fn rows_without_bytes_are_named() {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = temporary.path().join("m.toml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/arrow/nulls");
    let text = "name = \"n\"\n[layout]\nformat = \"arrow\"\nimages = \"rows.arrow\"\n[splits]\n\
                all = {}\n[[tasks]]\nname = \"caption\"\nkind = \"retrieval\"\n\
                label = \"deep.inner.note\"\nformat = \"text\"\n";
    fs::write(&manifest, text).unwrap();
    let set = FolderDataset::open(&manifest, &Root::new(&folder, false), "all").unwrap();
    let message = |index: usize| set.get(index).unwrap_err().to_string();
    let (null, path) = (message(1), message(2));
    let expected = "rows.arrow: rows-000001.image: not a readable image: expected the bytes of the \
                    image, found none in this row";
    assert!(null.ends_with(expected), "{null}");
    let expected = "rows.arrow: rows-000002.image: not a readable image: expected the bytes of the \
                    image, found none but its path, \"c\", which is not followed: save the table with \
                    its images in it";
    assert!(path.ends_with(expected), "{path}");
}
