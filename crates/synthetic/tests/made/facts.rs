//! What reading a synthetic copy says of it.
use std::path::{Path, PathBuf};

use polyptych_data::{Facts, Root};
use polyptych_synthetic::{CopyContents, write_copy};

fn facts(name: &str, spoil: impl Fn(&Path)) -> (Facts, CopyContents) {
    let folder = tempfile::tempdir().unwrap();
    let written = write_copy(name, folder.path()).unwrap();
    spoil(folder.path());
    let manifest =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../datasets/{name}.toml"));
    (Facts::of_folder(&manifest, &Root::new(folder.path(), false), &|_, _, _| {}).unwrap(), written)
}

#[test]
fn images_labels_and_histograms_are_those_of_the_maker() {
    for name in CopyContents::names() {
        let (facts, written) = facts(name, |_| {});
        // The fine-grained sets are in circulation in one form alone.
        let known = facts.variant.as_deref().unwrap_or("synthetic copy of this repository");
        assert_eq!(known, "synthetic copy of this repository", "{name}");
        assert!(facts.misfits.is_empty(), "{name}: {:?}", facts.misfits);
        let mut found = CopyContents::default();
        for split in &facts.splits {
            assert_eq!(split.unreadable, 0, "{name}");
            found.images.insert(split.name.clone(), split.images);
            for task in &split.tasks {
                let key = (split.name.clone(), task.spec.name.clone());
                found.labels.insert(key, (task.labels, task.histogram.clone()));
            }
        }
        assert_eq!(found, written, "{name}");
    }
}

#[test]
fn sizes_and_distances_are_those_of_the_maker() {
    let (facts, _) = facts("pascal_context", |_| {});
    let train = &facts.splits[0];
    assert_eq!((train.name.as_str(), train.images, train.unreadable), ("train", 8, 0));
    assert_eq!(train.sizes.values().sum::<usize>(), 8);
    let task = |name: &str| train.tasks.iter().find(|task| task.spec.name == name).unwrap();
    assert!(task("sal").resized > 0 && task("sal").resized < 8);
    let (facts, _) = self::facts("nyud", |_| {});
    let depth = facts.splits[0].tasks.iter().find(|task| task.spec.name == "depth").unwrap();
    let [near, far] = depth.metres.unwrap();
    assert!(0.1 < near && near < far && far <= 10.0);
}

#[test]
fn parts_of_an_archive_and_unknown_copies_are_reported() {
    let (facts, _) = facts("pascal_context", |root| {
        std::fs::remove_dir_all(root.join("human_parts")).unwrap();
        std::fs::write(root.join("ImageSets/Context/val.txt"), "2008_000008\n").unwrap();
        std::fs::write(root.join("JPEGImages/2008_000008.jpg"), "no picture").unwrap();
    });
    assert_eq!((facts.splits[1].images, facts.splits[1].unreadable), (1, 1));
    let names = facts.splits[0].tasks.iter().map(|task| task.spec.name.as_str());
    assert!(names.eq(["edge", "normals", "sal", "semseg"]));
    assert_eq!(facts.variant, None);
    let last = facts.misfits.last().unwrap();
    assert_eq!(last, "synthetic copy of this repository: split val: expected 4 images, found 1");
}
