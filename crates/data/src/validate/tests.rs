//! One folder with every fault, and what is said of each.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::RgbImage;
use png::{BitDepth, ColorType};
use tempfile::TempDir;

use super::*;
use crate::decode::idx::tests::idx;
use crate::decode::tests::{npy, png};

const MANIFEST: &str = r#"
name = "set"
[layout]
images = "images/{id}.{ext}"
[splits]
all = {}
listed = { list = "list.txt", overlaps = ["all"] }
[[tasks]]
name = "semseg"
kind = "semseg"
classes = ["a", "b"]
ignore = [255]
label = "semseg/{id}.png"
format = "index_png"
[[tasks]]
name = "depth"
kind = "depth"
label = "depth/{id}.npy"
format = "npy"
[[tasks]]
name = "normals"
kind = "normals"
label = "normals/{id}.npy"
format = "npy"
"#;

struct Folder(TempDir);

impl Folder {
    /// One good image, `good.png`, with every label.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("set.toml", MANIFEST.as_bytes());
        folder.image("good", 3, 2);
        folder.grey("good", &[0, 1, 255, 0, 1, 1]);
        folder.floats("depth/good.npy", "(2, 3)", &[1.0; 6]);
        folder.floats("normals/good.npy", "(2, 3, 3)", &[1.0; 18]);
        folder
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn image(&self, id: &str, width: u32, height: u32) {
        self.write(&format!("images/{id}.png"), b"");
        let path = self.root().join(format!("images/{id}.png"));
        RgbImage::new(width, height).save(path).unwrap();
    }

    fn grey(&self, id: &str, values: &[u8; 6]) {
        let bytes = png((3, 2), ColorType::Grayscale, BitDepth::Eight, None, values);
        self.write(&format!("semseg/{id}.png"), &bytes);
    }

    fn floats(&self, path: &str, shape: &str, values: &[f32]) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.write(path, &npy("<f4", false, shape, &bytes));
    }

    fn report(&self, splits: &[&str]) -> ValidationReport {
        let splits: Vec<String> = splits.iter().map(|&split| split.to_owned()).collect();
        let manifest = self.root().join("set.toml");
        ValidationReport::of_folder(
            &manifest,
            &Root::new(self.root(), false),
            &splits,
            &|_, _, _| (),
        )
        .unwrap()
    }

    /// What is said, without the folder's name.
    fn said(&self, splits: &[&str]) -> Vec<String> {
        let root = format!("{}/", self.root().display());
        let problems = self.report(splits).problems;
        problems.iter().map(|problem| problem.error.to_string().replace(&root, "")).collect()
    }
}

#[test]
fn a_good_folder_has_no_problems_and_progress_is_reported() {
    let folder = Folder::new();
    let reported = AtomicUsize::new(0);
    let watch = |split: &str, done: usize, len: usize| {
        assert!(split == "all" && done == 1 && len == 1);
        reported.fetch_add(1, Ordering::Relaxed);
    };
    let all = ["all".to_owned()];
    let manifest = folder.root().join("set.toml");
    let report =
        ValidationReport::of_folder(&manifest, &Root::new(folder.root(), false), &all, &watch)
            .unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.samples, [("all".to_owned(), 1)]);
    assert_eq!(reported.load(Ordering::Relaxed), 1);
}

#[test]
fn every_bad_file_is_reported_at_once() {
    let folder = Folder::new();
    folder.write("images/cut.jpg", b"\xff\xd8\xff\xe0");
    // A bad image does not hide its bad label.
    folder.grey("cut", &[0, 1, 2, 0, 1, 1]);
    folder.image("dot", 1, 1);
    folder.image("far", 3, 2);
    folder.grey("far", &[0, 1, 9, 0, 1, 1]);
    folder.floats("depth/far.npy", "(2, 3)", &[f32::NAN; 6]);
    folder.floats("normals/far.npy", "(2, 3, 3)", &[0.0; 18]);
    folder.image("odd", 3, 2);
    folder.write("semseg/odd.png", b"\x89PNG\r\n\x1a\n");
    folder.floats("depth/odd.npy", "(3, 2)", &[1.0; 6]);
    folder.write("normals/odd.npy", &npy("<f4", false, "(99999, 99999, 3)", &[0; 4]));
    let said = folder.said(&["all"]);
    let expected = [
        "images/cut.jpg: not a readable JPEG image: no end-of-image marker",
        "semseg/cut.png: semseg: expected a class below 2 or one of [255] for no label, found 2",
        "images/dot.png: not a readable PNG image: 1 x 1 pixels, expected at least 2 on each side",
        "semseg/far.png: semseg: expected a class below 2",
        "depth/far.npy: depth: expected at least 1 labelled pixel",
        "normals/far.npy: normals: expected at least 1 labelled pixel",
        "semseg/odd.png: not a readable index PNG: ",
        "depth/odd.npy: depth: expected 2 x 3 pixels, the size of the image, found 3 x 2",
        "normals/odd.npy: not a readable NumPy array: shape [99999, 99999, 3] does not fit 1 values",
    ];
    for text in expected {
        assert!(said.iter().any(|line| line.starts_with(text)), "{text}: {said:#?}");
    }
    assert_eq!(said.len(), expected.len(), "{said:#?}");
}

#[test]
fn images_of_one_name_and_all_missing_ones_are_reported() {
    let folder = Folder::new();
    fs::copy(folder.root().join("images/good.png"), folder.root().join("images/good.jpg")).unwrap();
    folder.write("list.txt", b"good\ngone\ngood\nlost\n");
    assert_eq!(
        folder.said(&[]),
        [
            "set.toml: split `all`: expected one image called good, found images/good.jpg and \
             images/good.png; name the ending or the folder of the images in layout.images",
            "images/gone.: no such image",
            "images/lost.: no such image",
        ]
    );
    let manifest = folder.root().join("set.toml");
    let message = FolderDataset::open(&manifest, &Root::new(folder.root(), false), "listed")
        .unwrap_err()
        .to_string();
    assert!(message.ends_with("images/gone.: no such image, and 1 more are missing"), "{message}");
}

#[test]
fn images_in_two_splits_are_reported_unless_the_manifest_says_so() {
    let folder = Folder::new();
    folder.write("list.txt", b"good\n");
    assert_eq!(folder.said(&[]), [""; 0]);
    folder.write("set.toml", MANIFEST.replace(", overlaps = [\"all\"]", "").as_bytes());
    assert_eq!(
        folder.said(&[]),
        ["set: splits `all` and `listed`: expected no image in both, found 1, the first: \
          images/good.png"]
    );
    assert!(folder.said(&["all"]).is_empty());
    folder.write("set.toml", MANIFEST.replace("\"all\"]", "\"train\"]").as_bytes());
    let manifest = folder.root().join("set.toml");
    let message = FolderDataset::splits(&manifest).unwrap_err().to_string();
    let expected = "splits.listed.overlaps: expected names of splits, found train";
    assert!(message.ends_with(expected), "{message}");
}

#[cfg(unix)]
#[test]
fn odd_names_and_links_are_reported() {
    use std::ffi::OsStr;
    use std::os::unix::{ffi::OsStrExt, fs::symlink};
    let folder = Folder::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"").unwrap();
    let link = |to: &Path, name: &str| symlink(to, folder.root().join(name)).unwrap();
    link(&outside.path().join("secret"), "images/leaves.png");
    link(Path::new("good.png"), "images/stays.png");
    link(Path::new("nowhere"), "lost");
    // A folder outside is not walked through.
    link(outside.path(), "more");
    folder.write("extra/two\nlines.txt", b"");
    let bytes = folder.root().join("extra").join(OsStr::from_bytes(b"caf\xe9.png"));
    fs::write(bytes, b"").unwrap();
    let said = folder.said(&["all"]);
    let expected = [
        "extra/caf\u{fffd}.png: expected a name in UTF-8, found other bytes; it is skipped",
        "extra/two\\nlines.txt: expected a name of one line, found a control character",
        "images/leaves.png: expected links within the folder, found one to ",
        "lost: a link that leads nowhere: ",
        "more: expected links within the folder, found one to ",
    ];
    for text in expected {
        assert!(said.iter().any(|line| line.starts_with(text)), "{text}: {said:#?}");
    }
    assert!(!said.iter().any(|line| line.contains("stays.png: expected links")), "{said:#?}");
    let leaves = said.iter().filter(|line| line.contains("leaves.png")).count();
    assert_eq!(leaves, 1, "once, of the folder: {said:#?}");
    let (manifest, root) = (folder.root().join("set.toml"), Root::new(folder.root(), true));
    let report =
        ValidationReport::of_folder(&manifest, &root, &["all".into()], &|_, _, _| ()).unwrap();
    let said: Vec<String> = report.problems.iter().map(|p| p.error.to_string()).collect();
    assert!(!said.iter().any(|line| line.contains("expected links")), "{said:#?}");
    // What the link leads to is read, and is no image.
    let read = |line: &String| line.contains("leaves.png: not a readable");
    assert!(said.iter().any(read), "{said:#?}");
}

#[test]
fn a_folder_or_manifest_that_is_not_there_is_an_error() {
    let folder = Folder::new();
    let report = |manifest: &str, root: &str| {
        let (manifest, root) = (folder.root().join(manifest), folder.root().join(root));
        ValidationReport::of_folder(&manifest, &Root::new(&root, false), &[], &|_, _, _| ())
            .unwrap_err()
            .to_string()
    };
    assert!(report("none.toml", "").contains("none.toml: No such file"));
    assert!(report("set.toml", "none").contains("none: No such file"));
    folder.write("set.toml", MANIFEST.replace("[\"a\", \"b\"]", "[\"a\", \"a\"]").as_bytes());
    let message = report("set.toml", "");
    assert!(
        message.ends_with("expected different names of one line each, found \"a\""),
        "{message}"
    );
    folder.write("set.toml", MANIFEST.replace("[\"a\", \"b\"]", "[]").as_bytes());
    assert!(report("set.toml", "").contains("classes: expected 1 to 255 names, found 0"));
}

#[test]
fn idx_files_that_are_cut_are_reported_with_the_split() {
    let folder = Folder::new();
    let manifest = "name = \"digits\"\n[layout]\nimages = \"{split}.idx\"\nformat = \"idx\"\n\
                    [splits]\ntest = {}\n[[tasks]]\nname = \"digit\"\nkind = \"classification\"\n\
                    classes = [\"0\", \"1\"]\nlabel = \"labels.idx\"\nformat = \"idx\"\n";
    folder.write("set.toml", manifest.as_bytes());
    folder.write("test.idx", &idx(&[2, 2, 2], &[7; 8])[..20]);
    let report = folder.report(&[]);
    assert_eq!(report.problems[0].split.as_deref(), Some("test"));
    let message = report.problems[0].error.to_string();
    assert!(message.ends_with("sizes [2, 2, 2] need 8 bytes, found 4"), "{message}");
    folder.write("test.idx", &idx(&[2, 2, 2], &[7; 8]));
    folder.write("labels.idx", &idx(&[2], &[0, 5]));
    let said = folder.said(&[]);
    assert!(said[0].ends_with("expected a class from 0 to 1, found 5"), "{said:?}");
}

#[test]
fn labels_are_counted_and_near_misses_are_reported() {
    let folder = Folder::new();
    folder.write(
        "set.toml",
        MANIFEST.replace(", overlaps = [\"all\"]", "").replace("listed = ", "# ").as_bytes(),
    );
    for id in ["01", "02", "03", "04"] {
        folder.image(id, 3, 2);
    }
    let move_label = |from: &str, to: &str| {
        folder.grey(from, &[0; 6]);
        let path = |name: &str| folder.root().join(format!("semseg/{name}"));
        fs::rename(path(&format!("{from}.png")), path(to)).unwrap();
    };
    move_label("01", "01.PNG");
    move_label("02", "02_mask.png");
    move_label("03", "03.gif");
    // Of another image, which is not in the set.
    move_label("04", "04_1.png");
    let report = folder.report(&[]);
    let counts =
        report.labels.iter().map(|count| (count.task.as_str(), count.labelled, count.images));
    assert!(counts.eq([("semseg", 1, 5), ("depth", 1, 5), ("normals", 1, 5)]));
    assert_eq!(
        folder.said(&[]),
        [
            "semseg: semseg/01.png: no such file (there is semseg/01.PNG)",
            "semseg: semseg/02.png: no such file (there is semseg/02_mask.png)",
            "semseg: semseg/03.png: no such file (there is semseg/03.gif)",
        ]
    );
}

#[test]
fn images_that_the_pattern_nearly_fits_are_reported() {
    let folder = Folder::new();
    let manifest = MANIFEST.replace("{id}.{ext}", "{id}.png");
    folder.write("set.toml", manifest.replace("listed = ", "# ").as_bytes());
    folder.image("other", 3, 2);
    fs::rename(folder.root().join("images/other.png"), folder.root().join("images/other.PNG"))
        .unwrap();
    assert_eq!(
        folder.said(&[]),
        ["images/other.PNG: skipped, images/{id}.png does not fit it; name its ending, or \
          `{ext}` for any"]
    );
}

/// Polygons that nothing is drawn of are no fault, and are counted where their category is asked for.
#[test]
fn skipped_polygons_are_counted() {
    let folder = Folder::new();
    let task = MANIFEST.split("[[tasks]]").next().unwrap().to_owned()
        + "[[tasks]]\nname = \"sal\"\nkind = \"sal\"\nlabel = \"all.json\"\nformat = \"coco\"\n\
           categories = [\"dog\"]\n";
    folder.write("set.toml", task.as_bytes());
    folder.image("other", 3, 2);
    let image = |id: u8, name: &str| {
        format!(r#"{{"id": {id}, "file_name": "{name}.png", "height": 2, "width": 3}}"#)
    };
    let region = |image: u8, category: u8, shape: &str| {
        let ids = format!(r#""image_id": {image}, "category_id": {category}"#);
        format!(r#"{{{ids}, "segmentation": {shape}}}"#)
    };
    let square = "[0, 0, 2, 0, 2, 2, 0, 2]";
    let json = format!(
        r#"{{"images": [{}, {}], "annotations": [{}, {}, {}], "categories": [{}]}}"#,
        image(1, "good"),
        image(2, "other"),
        region(1, 1, &format!("[{square}]")),
        region(2, 1, &format!("[[0, 0, 2, 2], {square}, [1, 1]]")),
        region(1, 2, "[[0, 0]]"),
        r#"{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}"#,
    );
    folder.write("all.json", json.as_bytes());
    let report = folder.report(&["all"]);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let first = folder.root().join("images/other.png");
    let (split, task) = ("all".to_owned(), "sal".to_owned());
    assert_eq!(report.skipped, [SkippedPolygons { split, task, polygons: 2, images: 1, first }]);
}
