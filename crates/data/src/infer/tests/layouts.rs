//! Folders as annotation tools leave them.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use tempfile::TempDir;

use super::super::{InferredManifest, infer_manifest};
use crate::{Dataset, FolderDataset, Root, TaskKind, split_sizes};

/// Width and height of images.
pub(super) const SIZE: (u32, u32) = (32, 24);

pub(super) struct Set(pub(super) TempDir);

impl Set {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// A photograph: many colours.
    pub(super) fn photo(&self, name: &str) {
        let mix = |x: u32, y: u32, c: u32| (x * 7 + y * 13 + c * 71 + (x * y) % 31) as u8;
        let pixels = |x, y| Rgb([0, 1, 2].map(|c| mix(x, y, c)));
        RgbImage::from_fn(SIZE.0, SIZE.1, pixels).save(self.path(name)).unwrap();
    }

    pub(super) fn grey(
        &self,
        name: &str,
        (width, height): (u32, u32),
        value: impl Fn(u32, u32) -> u8,
    ) {
        let map = GrayImage::from_fn(width, height, |x, y| Luma([value(x, y)]));
        map.save(self.path(name)).unwrap();
    }

    pub(super) fn infer(&self) -> InferredManifest {
        infer_manifest("mine", self.0.path()).unwrap()
    }

    /// The inferred, opened: kind of its one task, and how many images each split has.
    pub(super) fn opened(&self, inferred: &InferredManifest) -> (TaskKind, Vec<(String, usize)>) {
        let manifest = self.path("mine.toml");
        fs::write(&manifest, &inferred.manifest).unwrap();
        let root = Root::new(self.0.path(), false);
        let sizes = split_sizes(&manifest, &root).unwrap();
        let sizes: Vec<_> = sizes.into_iter().map(|(name, size)| (name, size.unwrap())).collect();
        let dataset = FolderDataset::open(&manifest, &root, &sizes[0].0).unwrap();
        for index in 0..dataset.len() {
            dataset.get(index).unwrap().check(dataset.tasks()).unwrap();
        }
        (dataset.tasks()[0].kind, sizes)
    }
}

pub(super) fn split(name: &str, count: usize) -> (String, usize) {
    (name.to_owned(), count)
}

pub(super) fn said(inferred: &InferredManifest, text: &str) -> bool {
    inferred.notes.iter().any(|note| note.contains(text))
}

#[test]
fn softened_masks_have_a_threshold() {
    let set = Set::new();
    for k in 0..8 {
        set.photo(&format!("images/{k}.png"));
        set.grey(&format!("masks/{k}.png"), SIZE, |x, _| {
            (x as i32 * 37 - 500 - k * 40).clamp(0, 255) as u8
        });
    }
    let inferred = set.infer();
    assert!(inferred.manifest.contains("threshold = 127.5"), "{}", inferred.manifest);
    assert!(!inferred.manifest.contains("classes"), "{}", inferred.manifest);
    assert!(said(&inferred, "values between, as softened borders have"), "{inferred:?}");
    assert_eq!(set.opened(&inferred), (TaskKind::Sal, vec![split("train", 7), split("val", 1)]));
}

#[test]
fn lists_are_splits_and_those_of_labelled_images_win() {
    let set = Set::new();
    for k in 0..6 {
        set.photo(&format!("JPEGImages/{k:02}.png"));
        if k < 4 {
            set.grey(&format!("SegmentationClass/{k:02}.png"), SIZE, |x, _| (x / 9) as u8);
        }
    }
    let lists = |folder: &str, train: &str, val: &str| {
        fs::write(set.path(&format!("ImageSets/{folder}/train.txt")), train).unwrap();
        fs::write(set.path(&format!("ImageSets/{folder}/val.txt")), val).unwrap();
    };
    lists("Main", "04\n05\n", "03\n");
    lists("Segmentation", "\u{feff}00\r\n01\r\n02\r\n", "03\n");
    fs::write(set.path("notes/test.txt"), "images/00.png\n").unwrap();
    let inferred = set.infer();
    assert!(
        inferred.manifest.contains("train = { list = \"ImageSets/Segmentation/train.txt\" }"),
        "{}",
        inferred.manifest
    );
    assert!(said(&inferred, "ImageSets/Main: lists of fewer images with labels"), "{inferred:?}");
    assert!(said(&inferred, "notes/test.txt: 0 of 1 lines are ids of images"), "{inferred:?}");
    assert!(said(&inferred, "2 images have no label"), "{inferred:?}");
    assert_eq!(set.opened(&inferred), (TaskKind::Semseg, vec![split("train", 3), split("val", 1)]));
}

#[test]
fn rare_colours_gaps_and_other_sizes_are_dealt_with() {
    let set = Set::new();
    for k in 0..8 {
        set.photo(&format!("images/{k}.png"));
        let colour = |x: u32, y: u32| match (x / 16, y) {
            (_, 0) => Rgb([x as u8, y as u8, k as u8 + 100]),
            (0, _) => Rgb([255, 0, 0]),
            _ => Rgb([0, 0, 255]),
        };
        RgbImage::from_fn(SIZE.0, SIZE.1, colour)
            .save(set.path(&format!("labels/{k}.png")))
            .unwrap();
    }
    let inferred = set.infer();
    assert!(inferred.manifest.contains("map_others = 255"), "{}", inferred.manifest);
    assert!(said(&inferred, "rare colours"), "{inferred:?}");
    assert_eq!(set.opened(&inferred).0, TaskKind::Semseg);

    let set = Set::new();
    for k in 0..8 {
        set.photo(&format!("images/{k}.webp"));
        let value = |x: u32, _| [7, 11, 26][x as usize / 12];
        set.grey(&format!("labels/{k}.png"), (SIZE.0, SIZE.1 - 1), value);
    }
    let inferred = set.infer();
    assert!(
        inferred.manifest.contains("map = [[7, 0], [11, 1], [26, 2]]"),
        "{}",
        inferred.manifest
    );
    assert!(inferred.manifest.contains("resize = true"), "{}", inferred.manifest);
    assert!(said(&inferred, "labels of 23 x 32 pixels beside images of 24 x 32"), "{inferred:?}");
    assert_eq!(set.opened(&inferred).0, TaskKind::Semseg);
}

#[test]
fn labels_of_several_endings_are_all_found() {
    let set = Set::new();
    for k in 0..8 {
        set.photo(&format!("images/{k}.png"));
        set.grey(&format!("labels/{k}.png"), SIZE, |x, _| (x / 11) as u8);
    }
    for k in 0..3 {
        let path = |ending: &str| set.path(&format!("labels/{k}.{ending}"));
        fs::rename(path("png"), path("PNG")).unwrap();
    }
    let inferred = set.infer();
    let other = "or = [{ label = \"labels/{id}.PNG\", format = \"index_png\" }]";
    assert!(inferred.manifest.contains(other), "{}", inferred.manifest);
    let manifest = set.path("mine.toml");
    fs::write(&manifest, &inferred.manifest).unwrap();
    let root = Root::new(set.0.path(), false);
    let report = crate::ValidationReport::of_folder(&manifest, &root, &[], &|_, _, _| ()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(report.labels.iter().all(|count| count.labelled == count.images));
}

#[test]
fn names_of_classes_are_those_of_the_tools_file() {
    let set = Set::new();
    for k in 0..8 {
        set.photo(&format!("train/{k}.jpg"));
        set.grey(&format!("train/{k}_mask.png"), SIZE, |x, _| (x / 11) as u8);
    }
    let names = "Pixel Value, Class\n0, background\n1, car\n2, \"wheel, rim\"\n";
    fs::write(set.path("train/_classes.csv"), names.replace("2, \"", "2,\"")).unwrap();
    let inferred = set.infer();
    assert!(inferred.manifest.contains("\"background\", \"car\", \"wheel, rim\""), "{inferred:?}");
    assert_eq!(set.opened(&inferred), (TaskKind::Semseg, vec![split("train", 8)]));

    let set = Set::new();
    for k in 0..8 {
        set.photo(&format!("JPEGImages/{k}.jpg"));
        let colour = |x: u32, _| if x < 9 { Rgb([0, 0, 0]) } else { Rgb([250, 50, 83]) };
        let path = set.path(&format!("SegmentationClass/{k}.png"));
        RgbImage::from_fn(SIZE.0, SIZE.1, colour).save(path).unwrap();
    }
    let map = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n";
    fs::write(set.path("labelmap.txt"), map).unwrap();
    assert!(set.infer().manifest.contains("\"background\", \"cat\""));
}

#[test]
fn reasons_are_not_lost_where_nothing_is_left() {
    let set = Set::new();
    set.photo("images/a.jpg");
    set.photo("masks/a.jpg");
    fs::write(set.path("images/a.gif"), "GIF89a").unwrap();
    let message = infer_manifest("mine", set.0.path()).unwrap_err().to_string();
    assert!(message.contains("masks/{id}.jpg: JPEG changes values"), "{message}");
    assert!(message.contains("1 x .gif, such as images/a.gif: no format of images"), "{message}");
    let set = Set::new();
    fs::write(set.path("images/a.png"), "").unwrap();
    let message = infer_manifest("mine", Path::new(set.0.path())).unwrap_err().to_string();
    assert!(
        message.contains("images/{id}.png: ") && message.contains("not a readable JPEG"),
        "{message}"
    );
    assert!(message.contains("the file is empty"), "{message}");
}

#[test]
fn classes_of_few_images_are_in_both_splits() {
    let set = Set::new();
    for (class, count) in [("cat", 3), ("dog", 5)] {
        (0..count).for_each(|k| set.photo(&format!("{class}/{class}{k}.jpg")));
    }
    let inferred = set.infer();
    assert!(inferred.manifest.contains("stratify = \"class\""), "{}", inferred.manifest);
    let opened = set.opened(&inferred);
    assert_eq!(opened, (TaskKind::Classification, vec![split("train", 6), split("val", 2)]));
}

/// Each task has labels of a third of the images: all of them are kept, with labels in both splits.
#[test]
fn labels_of_some_images_alone_are_kept_in_both_splits() {
    let set = Set::new();
    for k in 0..12 {
        set.photo(&format!("images/{k}.png"));
        let name = ["semseg", "saliency", "parts"][k % 3];
        let values: [u8; 3] = if name == "saliency" { [0, 255, 255] } else { [0, 1, 2] };
        set.grey(&format!("{name}/{k}.png"), SIZE, |x, y| values[((x / 8 + y / 8) % 3) as usize]);
    }
    let inferred = set.infer();
    assert!(
        inferred.manifest.contains("fraction = [0.9, 1.0], stratify_labels = true"),
        "{inferred:?}"
    );
    let manifest = set.path("mine.toml");
    fs::write(&manifest, &inferred.manifest).unwrap();
    let labels = |name: &str| {
        let dataset =
            FolderDataset::open(&manifest, &Root::new(set.0.path(), false), name).unwrap();
        let samples = (0..dataset.len()).map(|index| dataset.get(index).unwrap());
        let mut tasks: Vec<String> = samples.flat_map(|s| s.labels.into_keys()).collect();
        tasks.sort();
        tasks.join(" ")
    };
    assert_eq!(labels("val"), "parts saliency semseg");
    assert_eq!(labels("train").split(' ').count(), 9);
}

/// A tenth of the only folder is held out, of each class and of each set of labels.
#[test]
fn a_single_split_has_a_form_with_a_tenth_held_out() {
    let set = Set::new();
    for k in 0..20 {
        set.photo(&format!("train/{}/{k}.png", ["cat", "dog"][k % 2]));
    }
    let inferred = set.infer();
    assert!(inferred.manifest.contains("\ntrain = {}\n"), "{inferred:?}");
    let text = inferred.held_out.unwrap();
    let line = "held_out = { folder = \"train\", fraction = [0.9, 1.0], stratify = \"class\" }";
    assert!(text.contains(line), "{text}");
    let manifest = set.path("mine.toml");
    fs::write(&manifest, text).unwrap();
    let sizes = split_sizes(&manifest, &Root::new(set.0.path(), false)).unwrap();
    let sizes: Vec<_> = sizes.into_iter().map(|(name, size)| (name, size.unwrap())).collect();
    assert_eq!(sizes, [split("held_out", 2), split("train", 18)]);
}

/// Masks beside images of the same format fit the pattern of images.
#[test]
fn masks_beside_images_are_no_images() {
    let set = Set::new();
    for k in 0..8 {
        set.photo(&format!("img{k}.png"));
        set.grey(&format!("img{k}_mask.png"), SIZE, |x, y| ((x / 8 + y / 8) % 3) as u8);
    }
    let inferred = set.infer();
    assert_eq!(set.opened(&inferred), (TaskKind::Semseg, vec![split("train", 7), split("val", 1)]));
    let root = Root::new(set.0.path(), false);
    let report =
        crate::ValidationReport::of_folder(&set.path("mine.toml"), &root, &[], &|_, _, _| {});
    assert!(report.unwrap().problems.is_empty());
}

/// File systems of some systems take names apart that others write whole.
#[test]
fn names_in_either_unicode_form_are_paired() {
    let set = Set::new();
    for k in 0..4 {
        set.photo(&format!("images/stra\u{df}e_caf\u{e9}{k}.png"));
        set.grey(&format!("masks/stra\u{df}e_cafe\u{301}{k}.png"), SIZE, |x, _| (x / 12) as u8);
    }
    let inferred = set.infer();
    assert_eq!(set.opened(&inferred), (TaskKind::Semseg, vec![split("train", 3), split("val", 1)]));
}

/// COCO's layout: two annotation files for each split, images in a folder of its own.
#[test]
fn coco_json_is_recognised() {
    let set = Set::new();
    for (split, count) in [("train", 3), ("val", 2)] {
        let mut images = Vec::new();
        for k in 0..count {
            let name = format!("{split}_{k}.jpg");
            set.photo(&format!("{split}2017/{name}"));
            images.push(format!(
                "{{\"id\": {k}, \"file_name\": {name:?}, \"height\": 24, \"width\": 32}}"
            ));
        }
        for (kind, category) in [("instances", "cat"), ("stuff", "sky")] {
            let text = format!(
                "{{\"images\": [{}], \"categories\": [{{\"id\": 1, \"name\": {category:?}}}], \
                 \"annotations\": [{{\"image_id\": 0, \"category_id\": 1, \"segmentation\": \
                 [[1, 1, 9, 1, 9, 9]]}}]}}",
                images.join(", ")
            );
            fs::write(set.path(&format!("annotations/{kind}_{split}2017.json")), text).unwrap();
        }
    }
    fs::write(set.path("annotations/captions.json"), "{\"images\": [], \"annotations\": []}")
        .unwrap();
    let inferred = set.infer();
    assert!(inferred.manifest.contains("images = \"{split}2017/{id}.jpg\""), "{inferred:?}");
    assert!(
        inferred.manifest.contains("train = { list = \"annotations/instances_train2017.json\" }"),
        "{inferred:?}"
    );
    let label =
        "name = \"stuff\"\nkind = \"semseg\"\nlabel = \"annotations/stuff_{split}2017.json\"";
    assert!(inferred.manifest.contains(label), "{inferred:?}");
    assert!(said(&inferred, "COCO JSON, as it has images (3), annotations (1)"), "{inferred:?}");
    assert_eq!(set.opened(&inferred), (TaskKind::Semseg, vec![split("train", 3), split("val", 2)]));
}

/// One file beside the images, without a split.
#[test]
fn a_single_coco_json_is_parted() {
    let set = Set::new();
    let image = |k: usize| {
        set.photo(&format!("pictures/{k}.png"));
        format!("{{\"id\": {k}, \"file_name\": \"{k}.png\", \"height\": 24, \"width\": 32}}")
    };
    let images: Vec<String> = (0..8).map(image).collect();
    let text = format!(
        "{{\"images\": [{}], \"categories\": [{{\"id\": 1, \"name\": \"cat\"}}], \"annotations\": \
         [{{\"image_id\": 3, \"category_id\": 1, \"bbox\": [0, 0, 1, 1], \"segmentation\": []}}]}}",
        images.join(", ")
    );
    fs::write(set.path("pictures/_annotations.coco.json"), text).unwrap();
    let inferred = set.infer();
    assert!(said(&inferred, "boxes without masks, so only tags"), "{inferred:?}");
    assert_eq!(set.opened(&inferred), (TaskKind::Tags, vec![split("train", 7), split("val", 1)]));
}

/// Some tools write boxes where polygons belong.
#[test]
fn polygons_of_less_than_three_corners_are_counted() {
    let set = Set::new();
    set.photo("images/a.png");
    set.photo("images/b.png");
    let image = |id: u32, name: &str| {
        format!("{{\"id\": {id}, \"file_name\": {name:?}, \"height\": 24, \"width\": 32}}")
    };
    let text = format!(
        "{{\"images\": [{}, {}], \"categories\": [{{\"id\": 1, \"name\": \"cat\"}}], \
         \"annotations\": [{{\"image_id\": 1, \"category_id\": 1, \"segmentation\": \
         [[1, 1, 9, 9], [1, 1, 9, 1, 9, 9], [3, 3]]}}]}}",
        image(1, "a.png"),
        image(2, "b.png")
    );
    fs::write(set.path("all.json"), text).unwrap();
    let inferred = set.infer();
    assert!(said(&inferred, "skipped polygons of less than three corners: 2"), "{inferred:?}");
    assert!(inferred.manifest.contains("kind = \"semseg\""), "{inferred:?}");
    assert_eq!(set.opened(&inferred), (TaskKind::Semseg, vec![split("train", 1), split("val", 1)]));
}

/// Copies the files of this ending below a folder of `tests`, with their folders.
pub(super) fn copied(set: &Set, folder: &str, ending: &str) {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    for path in super::super::lists::files(&peers, &[ending], u64::MAX) {
        let name = path.strip_prefix(&peers).unwrap().to_string_lossy().into_owned();
        fs::copy(&path, set.path(&name)).unwrap();
    }
}

/// Shards and tables that peers wrote, with labels as parts.
#[test]
fn shards_and_tables_are_recognised() {
    for (kind, ending, pattern) in [
        ("webdataset", "tar", "{split}-*.tar"),
        ("parquet", "parquet", "{split}-*-of-00002.parquet"),
        ("arrow", "arrow", "{split}/data-00000-of-00001.arrow"),
    ] {
        let set = Set::new();
        copied(&set, kind, ending);
        let _ = fs::remove_dir_all(set.path("nulls"));
        let inferred = set.infer();
        let layout = format!("format = {kind:?}\nimages = {pattern:?}\n");
        assert!(inferred.manifest.contains(&layout), "{inferred:?}");
        assert!(said(&inferred, &format!("which are read as {kind}")), "{inferred:?}");
        let named = inferred.manifest.contains("\"cat\", \"dog\"");
        assert_eq!(named, kind != "webdataset", "{inferred:?}");
        let splits = match kind {
            "arrow" => vec![split("train", 5), split("val", 3)],
            "parquet" => vec![split("train", 8)],
            _ => vec![split("train", 4)],
        };
        assert_eq!(set.opened(&inferred), (TaskKind::Semseg, splits));
        assert!(inferred.manifest.contains("kind = \"classification\""), "{inferred:?}");
    }
}
