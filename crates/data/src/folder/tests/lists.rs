//! Columns of lists and arrays as labels (`tests/lists`, which `datasets` wrote).

use std::fs;
use std::path::Path;

use crate::{Dataset, FolderDataset, Label, Result, Root};

fn open(format: &str, tasks: &str) -> Result<FolderDataset> {
    let temporary = tempfile::tempdir().unwrap();
    let manifest = temporary.path().join("m.toml");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lists");
    let layout = format!("[layout]\nformat = \"{format}\"\nimages = \"lists.{format}\"\n");
    let text = format!("name = \"l\"\n{layout}[splits]\ntrain = {{}}\n{tasks}");
    fs::write(&manifest, text).unwrap();
    FolderDataset::open(&manifest, &Root::new(&folder, false), "train")
}

fn task(name: &str, label: &str, format: &str, more: &str) -> String {
    format!(
        "[[tasks]]\nname = \"{name}\"\nkind = \"{name}\"\nlabel = \"{label}\"\n\
         format = \"{format}\"\n{more}\n"
    )
}

#[test]
fn lists_and_arrays_are_labels() {
    let tasks = task("depth", "depth", "npy", "") + &task("retrieval", "captions", "text", "");
    for format in ["parquet", "arrow"] {
        let set = open(format, &tasks).unwrap();
        for index in 0..6 {
            let sample = set.get(index).unwrap();
            match sample.labels.get("depth") {
                Some(Label::Depth(depth)) => assert_eq!(depth[[1, 2]], index as f32 + 0.625),
                _ => assert_eq!(index, 3),
            }
            let Label::Caption(caption) = &sample.labels["retrieval"] else { panic!() };
            let expected = if index % 3 == 2 { "\ntwo lines" } else { "" };
            assert_eq!(*caption, format!("row {index}{expected}"));
        }
    }
}

#[test]
fn numbers_of_a_list_are_tags() {
    let names: Vec<String> = (0..41).map(|class| format!("\"c{class}\"")).collect();
    let classes = format!("classes = [{}]", names.join(", "));
    for format in ["parquet", "arrow"] {
        let set = open(format, &task("tags", "objects.id", "index_txt", &classes)).unwrap();
        for index in [0, 1, 2, 3, 4] {
            let sample = set.get(index).unwrap();
            let Some(Label::Tags(tags)) = sample.labels.get("tags") else { panic!("{index}") };
            let on: Vec<usize> = (0..tags.len()).filter(|&class| tags[class]).collect();
            let expected: Vec<usize> = (0..index % 3).map(|n| 10 * index + n).collect();
            assert_eq!(on, expected, "{format} {index}");
        }
        let message = open(format, &task("tags", "boxes", "index_txt", &classes)).unwrap_err();
        let message = message.to_string();
        assert!(message.contains("not read: boxes (list<float>)"), "{message}");
        assert!(message.ends_with("found boxes"), "{message}");
    }
}
