//! Labels from COCO's JSON, through manifests.

use std::fs;
use std::path::PathBuf;

use image::{Rgb, RgbImage};
use ndarray::{Array2, array};
use tempfile::TempDir;

use crate::{Dataset, FolderDataset, Label, Result, Root};

const LAYOUT: &str = "name = \"c\"\n[layout]\nimages = \"{split}/{id}.png\"\n[splits]\n\
                      val = { list = \"val.json\" }\n[[tasks]]\nname = \"t\"\n\
                      label = \"{split}.json\"\nformat = \"coco\"\n";

/// Two images of 4 x 5 pixels: a cat in front of a dog and a crowd of dogs, and nothing.
struct Set(TempDir);

impl Set {
    fn new() -> Self {
        let set = Self(tempfile::tempdir().unwrap());
        fs::create_dir(set.path("val")).unwrap();
        for name in ["a", "b"] {
            RgbImage::from_pixel(5, 4, Rgb([9; 3]))
                .save(set.path(&format!("val/{name}.png")))
                .unwrap();
        }
        let text = r#"{"images": [
            {"id": 7, "file_name": "b.png", "height": 4, "width": 5},
            {"id": 1, "file_name": "a.png", "height": 4, "width": 5}],
          "categories": [{"id": 3, "name": "cat"}, {"id": 9, "name": "dog"}, {"id": 4, "name": "sky"}],
          "annotations": [
            {"image_id": 1, "category_id": 9, "segmentation": [[0, 0, 2, 0, 2, 4, 0, 4]]},
            {"image_id": 1, "category_id": 9, "iscrowd": 1,
             "segmentation": {"size": [4, 5], "counts": [16, 4]}},
            {"image_id": 1, "category_id": 3, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}]}"#;
        fs::write(set.path("val.json"), text).unwrap();
        set
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, keys: &str) -> Result<FolderDataset> {
        let manifest = self.path("m.toml");
        fs::write(&manifest, format!("{LAYOUT}{keys}\n")).unwrap();
        FolderDataset::open(&manifest, &Root::new(self.0.path(), false), "val")
    }

    /// The label of image `a` (the second of the list) and whether `b` has one.
    fn label(&self, keys: &str) -> (Label, bool) {
        let set = self.open(keys).unwrap();
        let mut sample = set.get(1).unwrap();
        sample.check(set.tasks()).unwrap();
        assert_eq!(sample.name, "a");
        (sample.labels.remove("t").unwrap(), set.get(0).unwrap().labels.contains_key("t"))
    }

    fn refused(&self, keys: &str) -> String {
        self.open(keys).unwrap_err().to_string()
    }
}

#[test]
fn classes_are_categories_of_their_name_or_several() {
    let set = Set::new();
    let own = "kind = \"semseg\"\nclasses = [\"background\", \"dog\", \"cat\"]\nmap_others = 0";
    let expected = array![[1, 1, 0, 0, 1], [1, 2, 2, 0, 1], [1, 2, 2, 0, 1], [1, 1, 0, 0, 1]];
    assert_eq!(set.label(own), (Label::Classes(expected.clone()), true));
    let merged =
        "kind = \"semseg\"\nclasses = [\"pet\"]\ncategories = { pet = [\"cat\", \"dog\"] }";
    let pets = expected.mapv(|class| if class == 0 { 255 } else { 0 });
    assert_eq!(set.label(merged), (Label::Classes(pets), false));
    let parts = "kind = \"human_parts\"\nclasses = [\"background\", \"head\"]\nmap_others = 0\n\
                 categories = { head = [\"cat\"] }";
    let head = expected.mapv(|class| u8::from(class == 2));
    assert_eq!(set.label(parts), (Label::Classes(head), false));
}

#[test]
fn other_kinds_come_from_the_same_regions() {
    let set = Set::new();
    let salient = array![[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]];
    let keys = "kind = \"sal\"\ncategories = [\"cat\"]";
    assert_eq!(set.label(keys), (Label::Binary(salient), true));
    let Label::Binary(all) = set.label("kind = \"sal\"").0 else { panic!() };
    assert_eq!(all.sum(), 14);
    let Label::Edges(edges) = set.label("kind = \"edge\"").0 else { panic!() };
    assert!(edges[0].column(4).iter().all(|&v| v == 255));
    assert!(edges[0].iter().any(|&v| v == 1) && edges[0].iter().any(|&v| v == 0));
    let keys = "kind = \"tags\"\nclasses = [\"sky\", \"dog\", \"cat\"]";
    assert_eq!(set.label(keys), (Label::Tags(vec![false, true, true]), true));
}

#[test]
fn segments_of_a_png_are_regions() {
    let set = Set::new();
    fs::create_dir(set.path("val_panoptic")).unwrap();
    let id = |x: u32| [300, 70_000, 5, 5, 0][x as usize];
    let colour = |x, _| Rgb([id(x) % 256, id(x) / 256 % 256, id(x) / 65536].map(|v: u32| v as u8));
    RgbImage::from_fn(5, 4, colour).save(set.path("val_panoptic/a.png")).unwrap();
    let text = r#"{"images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 5}],
      "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "sky"}],
      "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [
        {"id": 300, "category_id": 3}, {"id": 70000, "category_id": 4},
        {"id": 5, "category_id": 3, "iscrowd": 1}]}]}"#;
    fs::write(set.path("val_panoptic.json"), text).unwrap();
    let layout = LAYOUT.replace("{split}.json", "{split}_panoptic.json");
    let manifest = set.path("p.toml");
    let open = |keys: &str| {
        fs::write(&manifest, format!("{layout}{keys}\n")).unwrap();
        let root = Root::new(set.0.path(), false);
        FolderDataset::open(&manifest, &root, "val").unwrap().get(1)
    };
    let keys = "kind = \"semseg\"\nclasses = [\"sky\", \"cat\"]";
    let row = Array2::from_shape_fn((4, 5), |(_, x)| [1, 0, 1, 1, 255][x]);
    assert_eq!(open(keys).unwrap().labels["t"], Label::Classes(row));
    RgbImage::new(4, 4).save(set.path("val_panoptic/a.png")).unwrap();
    let message = open(keys).unwrap_err().to_string();
    assert!(message.ends_with("expected 4 x 5 pixels, as the JSON says, found 4 x 4"), "{message}");
}

#[test]
fn names_that_do_not_fit_are_told() {
    let set = Set::new();
    let classes = |names: &str| format!("kind = \"semseg\"\nclasses = [{names}]");
    let message = set.refused(&classes("\"dogs\""));
    assert!(
        message.contains(
            "tasks.t.categories: expected a category of the file; did you mean \
                              `dog`?"
        ),
        "{message}"
    );
    let message = set.refused(&classes("\"zebra\""));
    assert!(
        message.contains("such as cat, dog, sky (") && message.ends_with("found `zebra`"),
        "{message}"
    );
    let twice = classes("\"x\", \"cat\"") + "\ncategories = { x = [\"cat\"] }";
    let message = set.refused(&twice);
    assert!(message.ends_with("found `cat` in two classes"), "{message}");
    let message = set.refused("kind = \"sal\"\ncategories = { x = [\"cat\"] }");
    assert!(message.contains("tasks.t.categories: expected one list of names"), "{message}");
    let message = set.refused("kind = \"sal\"\nthreshold = 0.5");
    assert!(message.contains("tasks.t.threshold"), "{message}");
    let message = set.refused("kind = \"depth\"");
    assert!(
        message.contains("tasks.t.format: expected one for kind depth, found coco"),
        "{message}"
    );
    let other = fs::read_to_string(set.path("val.json")).unwrap().replace(".png\"", ".jpg\"");
    fs::write(set.path("other.json"), other).unwrap();
    let manifest = LAYOUT.replace("{split}.json", "other.json") + "kind = \"sal\"\n";
    fs::write(set.path("o.toml"), manifest).unwrap();
    let root = Root::new(set.0.path(), false);
    let message = FolderDataset::open(&set.path("o.toml"), &root, "val").unwrap_err().to_string();
    let expected = "other.json: images.file_name: expected the end of a path of an image, such as \
                    val/b.png, found a.jpg";
    assert!(message.ends_with(expected), "{message}");
}

/// `data check` names the image whose mask is wrong, and goes on.
#[test]
fn a_wrong_mask_is_a_problem_of_its_image() {
    let set = Set::new();
    let text = fs::read_to_string(set.path("val.json")).unwrap();
    fs::write(set.path("val.json"), text.replace("[16, 4]", "[16, 5]")).unwrap();
    let dataset = set.open("kind = \"sal\"").unwrap();
    assert!(dataset.problems(0).is_empty());
    let problems = dataset.problems(1);
    assert_eq!(problems.len(), 1);
    let message = problems[0].to_string();
    assert!(
        message.contains("val.json: not a readable COCO JSON: a.png: expected RLE"),
        "{message}"
    );
}

/// What pycocotools draws for files as COCO's stuff and keypoints are (`tests/coco/labels.py`).
#[test]
fn stuff_and_keypoints_are_those_of_pycocotools() {
    let cases = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coco");
    let expected = fs::read_to_string(cases.join("labels.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    for (file, classes) in [
        ("stuff.json", r#"["none", "banner", "sky-other", "other"]"#),
        ("person_keypoints.json", r#"["none", "person"]"#),
    ] {
        let set = tempfile::tempdir().unwrap();
        let path = |name: &str| set.path().join(name);
        fs::create_dir(path("val")).unwrap();
        fs::copy(cases.join(file), path("val.json")).unwrap();
        let images = expected[file].as_object().unwrap();
        let rows = |name: &str| -> Vec<&str> {
            images[name].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect()
        };
        for name in images.keys() {
            let rows = rows(name);
            let (height, width) = (rows.len() as u32, rows[0].len() as u32);
            RgbImage::new(width, height).save(path(&format!("val/{name}"))).unwrap();
        }
        let task = |name: &str, rest: &str| {
            format!("[[tasks]]\nname = {name:?}\nlabel = \"val.json\"\nformat = \"coco\"\n{rest}\n")
        };
        let manifest = "name = \"c\"\n[layout]\nimages = \"val/{id}.jpg\"\n[splits]\n\
                        val = { list = \"val.json\" }\n"
            .to_owned()
            + &task("map", &format!("kind = \"semseg\"\nmap_others = 0\nclasses = {classes}"))
            + &task("sal", "kind = \"sal\"");
        fs::write(path("m.toml"), manifest).unwrap();
        let root = Root::new(set.path(), false);
        let dataset = FolderDataset::open(&path("m.toml"), &root, "val").unwrap();
        assert_eq!(dataset.len(), images.len());
        for index in 0..dataset.len() {
            let sample = dataset.get(index).unwrap();
            sample.check(dataset.tasks()).unwrap();
            let rows = rows(&format!("{}.jpg", sample.name));
            let map = Array2::from_shape_fn((rows.len(), rows[0].len()), |(y, x)| {
                rows[y].as_bytes()[x] - b'0'
            });
            let salient = map.mapv(|class| u8::from(class > 0));
            assert_eq!(sample.labels["map"], Label::Classes(map), "{file}: {}", sample.name);
            assert_eq!(sample.labels["sal"], Label::Binary(salient), "{file}: {}", sample.name);
        }
    }
}

/// An image that the file names shows nothing where it has no annotation: that is a label of kinds
/// that say what the rest of an image is.
#[test]
fn an_image_without_regions_is_labelled_where_the_rest_has_a_meaning() {
    let set = Set::new();
    let empty = |keys: &str| set.open(keys).unwrap().get(0).unwrap().labels.remove("t");
    let zero = Array2::zeros((4, 5));
    assert_eq!(empty("kind = \"sal\""), Some(Label::Binary(zero.clone())));
    assert_eq!(empty("kind = \"edge\""), Some(Label::Edges(vec![zero.clone()])));
    let classes = "classes = [\"sky\", \"dog\", \"cat\"]";
    assert_eq!(empty(&format!("kind = \"tags\"\n{classes}")), Some(Label::Tags(vec![false; 3])));
    assert_eq!(empty(&format!("kind = \"semseg\"\n{classes}")), None);
    let background = format!("kind = \"semseg\"\nmap_others = 0\n{classes}");
    assert_eq!(empty(&background), Some(Label::Classes(zero)));
    let parts = "kind = \"human_parts\"\nmap_others = 0\nclasses = [\"background\", \"head\"]\n\
                 categories = { head = [\"cat\"] }";
    assert_eq!(empty(parts), None);
}
