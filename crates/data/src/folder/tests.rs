//! Folder data sets laid out in temporary folders, and what is said against wrong ones.

mod coco;
mod exif;
mod keys;
mod lists;
mod names;
mod packed;
mod predicted;
mod shipped;

use std::fs;
use std::path::{Path, PathBuf};

use image::RgbImage;
use ndarray::{Array2, Array3, array};
use png::{BitDepth, ColorType};
use tempfile::TempDir;

use super::split_context::SplitContext;
use super::*;
use crate::decode::mat::tests::{ground_truth, numbers_file};
use crate::decode::tests::{npy, png};
use crate::{Dataset, Label, Result};

/// A folder with a manifest; images are 3 pixels wide and 2 high.
struct Fixture(TempDir);

impl Fixture {
    /// A data set with images `ids` and one task whose table goes on with `task`.
    fn new(ids: &[&str], task: &str) -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        let head = "name = \"set\"\n[layout]\nimages = \"images/{id}.png\"\n[splits]\nall = {}\n";
        fixture.write("set.toml", format!("{head}[[tasks]]\nname = \"t\"\n{task}").as_bytes());
        for id in ids {
            fixture.image(&format!("images/{id}.png"));
        }
        fixture
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn image(&self, path: &str) {
        self.write(path, b"");
        RgbImage::from_pixel(3, 2, image::Rgb([1, 2, 3])).save(self.0.path().join(path)).unwrap();
    }

    fn grey(&self, path: &str, values: &[u8; 6]) {
        self.write(path, &png((3, 2), ColorType::Grayscale, BitDepth::Eight, None, values));
    }

    fn open(&self, split: &str) -> Result<FolderDataset> {
        FolderDataset::open(
            &self.0.path().join("set.toml"),
            &Root::new(self.0.path(), false),
            split,
        )
    }

    fn label(&self) -> Label {
        self.open("all").unwrap().get(0).unwrap().labels["t"].clone()
    }

    /// The message of opening the split and reading the first sample, without the folder's name.
    fn message(&self, split: &str) -> String {
        let error = self.open(split).and_then(|dataset| dataset.get(0)).unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

const SEMSEG: &str = "kind = \"semseg\"\nclasses = [\"a\", \"b\"]\nignore = [255]\n\
                      label = \"labels/{id}.png\"\nformat = \"index_png\"\n";

fn task(kind: &str, label: &str, format: &str, rest: &str) -> String {
    format!("kind = \"{kind}\"\nlabel = \"labels/{label}\"\nformat = \"{format}\"\n{rest}")
}

#[test]
fn samples_are_sorted_and_labels_may_be_missing() {
    let fixture = Fixture::new(&["b", "a"], SEMSEG);
    fixture.grey("labels/b.png", &[0, 1, 255, 0, 1, 1]);
    let dataset = fixture.open("all").unwrap();
    assert_eq!((dataset.name(), dataset.len(), dataset.tasks().len()), ("set", 2, 1));
    let (a, b) = (dataset.get(0).unwrap(), dataset.get(1).unwrap());
    assert_eq!((a.name.as_str(), a.labels.len()), ("a", 0));
    assert_eq!(b.labels["t"], Label::Classes(array![[0, 1, 255], [0, 1, 1]]));
    assert_eq!(b.image, Array3::from_shape_fn((2, 3, 3), |(_, _, c)| c as u8 + 1));
}

#[test]
fn stored_values_map_to_classes() {
    let rest = "classes = [\"a\", \"b\"]\nmap = [[7, 1], [9, 0]]\nmap_others = 255\n";
    let fixture = Fixture::new(&["a"], &task("semseg", "{id}.png", "palette_png", rest));
    let palette = Some(vec![0; 768]);
    let bytes = png((3, 2), ColorType::Indexed, BitDepth::Eight, palette, &[7, 9, 8, 7, 7, 9]);
    fixture.write("labels/a.png", &bytes);
    assert_eq!(fixture.label(), Label::Classes(array![[1, 0, 255], [1, 1, 0]]));
}

#[test]
fn colours_map_to_classes() {
    let rest =
        "classes = [\"a\", \"b\"]\npalette = [[1, 1, 1], [2, 2, 2]]\nignore_colors = [[0, 0, 0]]\n";
    let fixture = Fixture::new(&["a"], &task("semseg", "{id}.png", "rgb_png", rest));
    let mut values = [2; 18];
    values[..3].copy_from_slice(&[1, 1, 1]);
    values[3..6].copy_from_slice(&[0, 0, 0]);
    fixture.write("labels/a.png", &png((3, 2), ColorType::Rgb, BitDepth::Eight, None, &values));
    assert_eq!(fixture.label(), Label::Classes(array![[0, 255, 1], [1, 1, 1]]));
    values[17] = 5;
    fixture.write("labels/a.png", &png((3, 2), ColorType::Rgb, BitDepth::Eight, None, &values));
    assert_eq!(
        fixture.message("all"),
        "labels/a.png: t: expected a colour of `palette` or of `ignore_colors`; `map_others = 255` \
         says that other colours have no label, found [2, 2, 5] at x = 2, y = 1"
    );
    // Softened borders have colours that no class has.
    let others = task("semseg", "{id}.png", "rgb_png", &format!("{rest}map_others = 255\n"));
    let soft = Fixture::new(&["a"], &others);
    soft.write("labels/a.png", &png((3, 2), ColorType::Rgb, BitDepth::Eight, None, &values));
    assert_eq!(soft.label(), Label::Classes(array![[0, 255, 1], [1, 1, 255]]));
}

#[test]
fn depth_saliency_and_edges_have_units_and_thresholds() {
    let fixture = Fixture::new(&["a"], &task("depth", "{id}.png", "png16", "scale = 0.001\n"));
    let values: Vec<u8> =
        [0_u16, 1000, 2000, 3000, 0, 500].iter().flat_map(|v| v.to_be_bytes()).collect();
    fixture.write(
        "labels/a.png",
        &png((3, 2), ColorType::Grayscale, BitDepth::Sixteen, None, &values),
    );
    assert_eq!(fixture.label(), Label::Depth(array![[0.0, 1.0, 2.0], [3.0, 0.0, 0.5]]));
    let fixture =
        Fixture::new(&["a"], &task("sal", "{id}.png", "index_png", "threshold = 127.5\n"));
    fixture.grey("labels/a.png", &[0, 127, 128, 255, 0, 0]);
    assert_eq!(fixture.label(), Label::Binary(array![[0, 0, 1], [1, 0, 0]]));
    let fixture = Fixture::new(&["a"], &task("edge", "{id}.mat", "mat_boundaries", ""));
    // Column by column: pixel (0, 0) first, then the one below it.
    fixture
        .write("labels/a.mat", &ground_truth([2, 3], &[&[1, 0, 0, 0, 0, 0], &[0, 1, 0, 0, 0, 0]]));
    let expected = vec![array![[1, 0, 0], [0, 0, 0]], array![[0, 0, 0], [1, 0, 0]]];
    assert_eq!(fixture.label(), Label::Edges(expected));
}

/// `tests/hdf5/frame-*.hdf5`, which h5py wrote, and bits that are rotated.
#[test]
fn arrays_of_hdf5_are_labels_and_bits_rotate() {
    let rest = "scale = 2.0\nresize = true";
    let fixture = Fixture::new(&["a"], &task("depth", "{id}.hdf5", "hdf5:dataset", rest));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5/frame-latest.hdf5");
    fixture.write("labels/a.hdf5", &fs::read(file).unwrap());
    let Label::Depth(depth) = fixture.label() else { panic!() };
    // Every second number of every second row, twice a quarter of its place but 1.
    assert_eq!(depth, ndarray::array![[1.5, 2.5, 3.5], [7.5, 8.5, 9.5]]);
    fixture.write("labels/a.hdf5", b"no such file");
    assert!(fixture.message("all").contains("labels/a.hdf5: not a readable HDF5 file: "));
    let rest = "rotate_right = 3\nscale = 0.5";
    let fixture = Fixture::new(&["a"], &task("depth", "{id}.png", "png16", rest));
    fixture.grey("labels/a.png", &[0, 8, 16, 24, 32, 80]);
    let Label::Depth(depth) = fixture.label() else { panic!() };
    assert_eq!(depth, ndarray::array![[0.0, 0.5, 1.0], [1.5, 2.0, 5.0]]);
}

#[test]
fn normals_are_unit_vectors_in_our_axes() {
    let rest = "signs = [1, -1, 1]\n";
    let fixture = Fixture::new(&["a"], &task("normals", "{id}.png", "normals_png", rest));
    let mut values = [128; 18];
    values[..3].copy_from_slice(&[128, 255, 128]);
    fixture.write("labels/a.png", &png((3, 2), ColorType::Rgb, BitDepth::Eight, None, &values));
    let Label::Normals(normals) = fixture.label() else { panic!() };
    assert!((normals[[0, 0, 1]] + 1.0).abs() < 1e-3);
    assert!(normals.iter().skip(3).all(|&v| v == 0.0));
    let fixture = Fixture::new(&["a"], &task("normals", "{id}.npy", "npy", ""));
    let values: Vec<u8> =
        (0..6).flat_map(|_| [0.0_f32, 3.0, 4.0]).flat_map(f32::to_le_bytes).collect();
    fixture.write("labels/a.npy", &npy("<f4", false, "(2, 3, 3)", &values));
    let Label::Normals(normals) = fixture.label() else { panic!() };
    assert!((normals[[1, 2, 1]] - 0.6).abs() < 1e-6 && (normals[[1, 2, 2]] - 0.8).abs() < 1e-6);
}

#[test]
fn matlab_variables_and_images_without_people() {
    let parts = task("human_parts", "{id}.mat", "mat:anno", "classes = [\"none\", \"head\"]\n");
    let fixture = Fixture::new(&["a"], &parts);
    fixture.write("labels/a.mat", &numbers_file([2, 3], "anno", &[0.0, 1.0, 0.0, 0.0, 0.0, 0.0]));
    assert_eq!(fixture.label(), Label::Classes(array![[0, 0, 0], [1, 0, 0]]));
    fixture.write("labels/a.mat", &numbers_file([2, 3], "anno", &[0.0; 6]));
    assert!(fixture.open("all").unwrap().get(0).unwrap().labels.is_empty());
}

#[test]
fn class_names_come_from_folders_or_text() {
    let fixture = Fixture::new(&[], "");
    fixture.write(
        "set.toml",
        b"name = \"set\"\n[layout]\nimages = \"{split}/{class}/{id}.{ext}\"\n[splits]\ntrain = {}\n\
          [[tasks]]\nname = \"t\"\nkind = \"classification\"\nclasses = [\"ape\", \"cat\"]\n\
          label = \"{class}\"\nformat = \"path\"\n\
          [[tasks]]\nname = \"u\"\nkind = \"tags\"\nclasses = [\"red\", \"big\"]\n\
          label = \"tags/{class}-{id}.txt\"\nformat = \"names_txt\"\n",
    );
    fixture.image("train/cat/1.png");
    fixture.image("train/ape/1.png");
    fixture.write("train/ape/Thumbs.db", b"");
    fixture.write("tags/ape-1.txt", b"big\n\n");
    let dataset = fixture.open("train").unwrap();
    let (ape, cat) = (dataset.get(0).unwrap(), dataset.get(1).unwrap());
    assert_eq!((ape.name.as_str(), cat.name.as_str()), ("ape/1", "cat/1"));
    assert_eq!((&ape.labels["t"], &cat.labels["t"]), (&Label::Category(0), &Label::Category(1)));
    assert_eq!(ape.labels["u"], Label::Tags(vec![false, true]));
    fixture.image("train/dog/1.png");
    assert_eq!(fixture.message("train"), "dog/1: t: expected one of [ape, cat], found dog");
}

#[test]
fn splits_come_from_lists_folders_and_fractions() {
    let ids: Vec<String> = (0..40).map(|k| format!("{k:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let fixture = Fixture::new(&ids, SEMSEG);
    ids.iter().for_each(|id| fixture.grey(&format!("labels/{id}.png"), &[0; 6]));
    let path = fixture.0.path().join("set.toml");
    let splits = "[splits]\nlisted = { list = \"few.txt\" }\n\
                  low = { fraction = [0.0, 0.5] }\nhigh = { fraction = [0.5, 1.0] }\n";
    let text = fs::read_to_string(&path).unwrap().replace("[splits]\n", splits);
    fs::write(&path, text).unwrap();
    fixture.write("few.txt", b"07\n\n 03\n");
    let names = |split: &str| {
        let dataset = fixture.open(split).unwrap();
        (0..dataset.len()).map(|k| dataset.get(k).unwrap().name).collect::<Vec<_>>()
    };
    assert_eq!(names("listed"), ["07", "03"]);
    let (low, high) = (names("low"), names("high"));
    assert!(low.len() > 8 && high.len() > 8);
    let mut both = [low, high].concat();
    both.sort_unstable();
    assert_eq!(both, ids);
    fixture.write("few.txt", b"99\n");
    assert!(fixture.message("listed").starts_with("images/99.png: "));
    fixture.write("few.txt", b"../x\n");
    assert_eq!(
        fixture.message("listed"),
        "few.txt: id: expected a name below the data set's folder, found ../x"
    );
    assert_eq!(
        fixture.message("test"),
        "set.toml: splits: expected one of [all, high, listed, low], found test"
    );
}

/// Images, labels and lists that a link leads out of the folder to are not read.
#[cfg(unix)]
#[test]
fn links_that_leave_the_folder_are_refused() {
    use std::os::unix::fs::symlink;
    let (fixture, outside) = (Fixture::new(&["a", "b"], SEMSEG), tempfile::tempdir().unwrap());
    fixture.grey("labels/a.png", &[0; 6]);
    let manifest = fixture.0.path().join("set.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let listed = "all = {}\nlisted = { list = \"list.txt\" }";
    fs::write(&manifest, text.replace("all = {}", listed)).unwrap();
    let far = outside.path().canonicalize().unwrap();
    let leave = |path: &str| {
        let (path, target) = (fixture.0.path().join(path), far.join(path.replace('/', "-")));
        fs::rename(&path, &target).unwrap();
        symlink(&target, &path).unwrap();
        format!("expected links within the folder, found one to {}", target.display())
    };
    let reason = leave("images/a.png");
    assert_eq!(fixture.message("all"), format!("images/a.png: {reason}"));
    assert!(fixture.open("all").unwrap().get(1).is_ok());
    fixture.write("list.txt", b"b\n");
    let reason = leave("list.txt");
    assert_eq!(fixture.message("listed"), format!("list.txt: {reason}"));
    fs::remove_file(fixture.0.path().join("images/a.png")).unwrap();
    fixture.image("images/a.png");
    let reason = leave("labels/a.png");
    assert_eq!(fixture.message("all"), format!("labels/a.png: {reason}"));
    // The user may allow it, and the folder itself may be a link.
    let following = Root::new(fixture.0.path(), true);
    assert!(FolderDataset::open(&manifest, &following, "all").unwrap().get(0).is_ok());
    fs::remove_file(fixture.0.path().join("labels/a.png")).unwrap();
    fixture.grey("labels/a.png", &[0; 6]);
    let linked = outside.path().join("root");
    symlink(fixture.0.path(), &linked).unwrap();
    let root = Root::new(&linked, false);
    assert!(FolderDataset::open(&manifest, &root, "all").unwrap().get(0).is_ok());
}

#[test]
fn bad_input_is_named() {
    assert_eq!(
        Fixture::new(&[], SEMSEG).message("all"),
        "set: split `all` is empty: expected at least 1 sample, found 0, looked for images/{id}.png"
    );
    let fixture = Fixture::new(&["a"], SEMSEG);
    assert_eq!(
        fixture.message("all"),
        "set: split `all`: t: expected at least 1 label file, found 0, looked for labels/a.png"
    );
    fixture.grey("labels/a.png", &[0, 1, 2, 0, 1, 1]);
    assert_eq!(
        fixture.message("all"),
        "labels/a.png: t: expected a class below 2 or one of [255] for no label, found 2 at x = 2, y = 0"
    );
    fixture.grey("labels/a.png", &[255; 6]);
    assert_eq!(
        fixture.message("all"),
        "labels/a.png: t: expected at least 1 labelled pixel, found only pixels without a label"
    );
    fixture
        .write("labels/a.png", &png((2, 2), ColorType::Grayscale, BitDepth::Eight, None, &[0; 4]));
    assert_eq!(
        fixture.message("all"),
        "labels/a.png: t: expected 2 x 3 pixels, the size of the image, found 2 x 2"
    );
    fixture.write("labels/a.png", b"no");
    assert!(fixture.message("all").starts_with("labels/a.png: not a readable index PNG: "));
    fixture.write("images/a.png", b"\xff\xd8\xff");
    assert!(fixture.message("all").starts_with("images/a.png: not a readable JPEG image: "));
}

#[test]
fn void_labels_may_count_as_absent() {
    let fixture = Fixture::new(&["a"], &format!("{SEMSEG}allow_void = true\n"));
    fixture.grey("labels/a.png", &[255; 6]);
    assert!(fixture.open("all").unwrap().get(0).unwrap().labels.is_empty());
}

#[test]
fn wrong_manifests_are_named() {
    let message = |change: &dyn Fn(String) -> String| {
        let fixture = Fixture::new(&["a"], SEMSEG);
        fixture.grey("labels/a.png", &[0; 6]);
        let path = fixture.0.path().join("set.toml");
        let text = change(fs::read_to_string(&path).unwrap());
        fs::write(path, text).unwrap();
        fixture.message("all")
    };
    let swap = |from: &'static str, to: &'static str| message(&move |text| text.replace(from, to));
    let add = |line: &'static str| message(&move |text| text + line);
    assert!(add("speed = 3\n").contains("tasks.t.speed: expected one of the keys name, kind,"));
    assert!(swap("index_png", "gif").contains("expected one of the formats index_png,"));
    assert_eq!(
        swap("index_png", "mat_boundaries"),
        "set.toml: tasks.t.format: expected one for kind semseg, found mat_boundaries"
    );
    assert_eq!(
        swap("[\"a\", \"b\"]", "[]"),
        "set.toml: tasks.t.classes: expected 1 to 255 names, found 0"
    );
    assert_eq!(
        add("palette = [[1, 2, 3]]\n"),
        "set.toml: tasks.t.palette: expected one colour for each of 2 classes, found 1"
    );
    assert_eq!(
        add("flip_pairs = [[0, 2]]\n"),
        "set.toml: tasks.t.flip_pairs: expected classes below 2, found [0, 2]"
    );
    assert_eq!(
        add("map = [[1, 2]]\n"),
        "set.toml: tasks.t.map: expected classes below 2 or 255, found 2"
    );
    assert_eq!(
        add("map_others = 9\n"),
        "set.toml: tasks.t.map_others: expected a class below 2 or 255, found 9"
    );
    let depth = |line: &'static str| {
        message(&move |text| {
            let depth = text.replace("semseg", "depth").replace("index_png", "png16");
            depth.replace("classes = [\"a\", \"b\"]\n", "") + line
        })
    };
    assert_eq!(
        depth("scale = 0.0\n"),
        "set.toml: tasks.t.scale and offset: expected finite numbers, scale above 0, found 0 and 0"
    );
    assert_eq!(
        swap("labels/{id}", "labels/{name}"),
        "set.toml: tasks.t.label: expected only slots that layout.images has, found labels/{name}.png"
    );
    assert_eq!(
        swap("images/{id}", "images/{name}"),
        "set.toml: layout.images: expected a pattern with {id}, found images/{name}.png"
    );
    assert_eq!(
        swap("all = {}", "all = { fraction = [0.5, 0.5] }"),
        "set.toml: splits.all.fraction: expected [from, to] with 0 <= from < to <= 1, found [0.5, 0.5]"
    );
    assert_eq!(
        add("[[tasks]]\nname = \"t\"\nkind = \"sal\"\nlabel = \"x\"\nformat = \"npy\"\n"),
        "set.toml: tasks.name: expected each name once, found t"
    );
}

#[test]
fn wrong_tables_and_idx_layouts_are_named() {
    let fixture = Fixture::new(&["a"], "");
    let message = |layout: &str, split: &str, task: &str| {
        let classes = "name = \"t\"\nkind = \"classification\"\nclasses = [\"a\", \"b\"]";
        let text = format!(
            "name = \"set\"\n[layout]\n{layout}\n[splits]\nall = {split}\n[[tasks]]\n{classes}\n{task}\n"
        );
        fixture.write("set.toml", text.as_bytes());
        fixture.message("all")
    };
    let path = "label = \"{class}\"\nformat = \"path\"";
    let tables = "images = \"{file}\"\ntables = { file = \"f.txt\", class = \"c.txt\" }";
    assert_eq!(
        message("images = \"{file}.{ext}\"\ntables = { file = \"f.txt\" }", "{}", path),
        "set.toml: layout.images: expected no slots but {split}, {id} and those of `tables`, \
         found {file}.{ext}"
    );
    assert_eq!(
        message(tables, "{ only = { part = \"1\" } }", path),
        "set.toml: splits.all.only: expected slots of layout.images or of `tables`, found part"
    );
    assert_eq!(
        message(tables, "{ list = \"few.txt\" }", path),
        "set.toml: splits.all: expected one of `list`, `tables` and files of several images, `only` \
         not for the last, found several"
    );
    let idx = "label = \"labels\"\nformat = \"idx\"";
    assert_eq!(
        message(tables, "{}", idx),
        "set.toml: tasks.t.format: expected `idx` for images in idx files, and only for them, \
         found idx"
    );
    assert_eq!(
        message("images = \"{id}\"\nformat = \"idx\"", "{}", idx),
        "set.toml: layout.images: expected a file of all images, with no slot but {split}, \
         found {id}"
    );
    assert!(message("images = \"i\"\nformat = \"zip\"", "{}", idx).ends_with(
        "layout.format: expected one of files, idx, webdataset, parquet, arrow, hdf5, found zip"
    ));
    fixture.write("f.txt", b"7 images/a.png\n");
    fixture.write("c.txt", b"7 b\n");
    fixture.write("set.toml", b"");
    let labels =
        message(tables, "{ only = { class = \"b\" } }", "label = \"x\"\nformat = \"path\"");
    assert_eq!(labels, "images/a.png: t: expected one of [a, b], found x");
}

#[test]
fn classes_that_cannot_be_found_are_refused() {
    let fixture = Fixture::new(&["a"], "");
    let message = |rest: &str| {
        let head = "name = \"set\"\n[layout]\nimages = \"images/{id}.png\"\n[splits]\nall = {}\n";
        let task = format!("{head}[[tasks]]\nname = \"t\"\nkind = \"classification\"\n{rest}");
        fixture.write("set.toml", task.as_bytes());
        fixture.message("all")
    };
    assert_eq!(
        message("label = \"{id}\"\nformat = \"path\"\n"),
        "set.toml: tasks.t.classes: expected names, or folders called {id} in layout.images, found neither"
    );
    assert_eq!(
        message("label = \"x{id}\"\nformat = \"path\"\n"),
        "set.toml: tasks.t.classes: expected 1 or more names, found 0"
    );
    assert_eq!(
        message("label = \"{id}\"\nformat = \"index\"\n"),
        "set.toml: tasks.t.classes: expected 1 or more names, found 0"
    );
    assert_eq!(
        message("label = \"{id}\"\nformat = \"path\"\nclasses = \"classes.txt\"\n"),
        "set.toml: tasks.t.classes: expected names; a file of them is for `index`, found 0"
    );
    assert!(
        message("label = \"{id}\"\nformat = \"path\"\nclasses = 3\n")
            .contains("expected names of classes or the path of a file of them")
    );
}

#[test]
fn labels_that_fit_no_map_are_refused() {
    let fixture = Fixture::new(&["a"], &task("depth", "{id}.npy", "npy", ""));
    fixture.write("labels/a.npy", &npy("|u1", false, "(2, 3, 3)", &[1; 18]));
    assert_eq!(
        fixture.message("all"),
        "labels/a.npy: t: expected a Depth label, found several numbers per pixel"
    );
    fixture.write("labels/a.npy", &npy("|u1", false, "(6,)", &[1; 6]));
    assert_eq!(
        fixture.message("all"),
        "labels/a.npy: not a readable NumPy array: shape [6], expected [height, width] or [height, width, 3]"
    );
    fixture.write("labels/a.npy", &npy("|u1", false, "(2, 3, 1)", &[1; 6]));
    assert_eq!(fixture.label(), Label::Depth(Array2::ones((2, 3))));
}

/// The manifests of the repository over the photographs beside it, where there are any.
fn shared(name: &str, split: &str) -> Option<FolderDataset> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = repository.join("../shared/data").join(name);
    if !root.is_dir() {
        println!("skipped: no photographs of {name}");
        return None;
    }
    Some(
        FolderDataset::open(
            &repository.join(format!("datasets/{name}.toml")),
            &Root::new(&root, false),
            split,
        )
        .unwrap(),
    )
}

#[test]
fn camvid_photographs_have_classes() {
    let Some(dataset) = shared("camvid", "train") else { return };
    assert_eq!(dataset.len(), 367);
    let sample = dataset.get(0).unwrap();
    sample.check(dataset.tasks()).unwrap();
    assert_eq!((sample.name.as_str(), sample.image.dim()), ("0001TP_006690", (240, 320, 3)));
    assert!(sample.labels.contains_key("semseg"));
}

#[test]
fn shipped_manifests_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    assert!(files.len() >= 3);
    for file in files {
        let manifest = Manifest::read(&file).unwrap();
        assert_eq!(file.file_stem().unwrap().to_str(), Some(manifest.name.as_str()));
        let root = Root::new(Path::new(""), false);
        for split in manifest.splits.keys() {
            let context = SplitContext::new(String::new(), &manifest, &root, split).unwrap();
            for task in &manifest.tasks {
                task.places().for_each(|place| {
                    context.label_pattern(&task.name, &place.label).unwrap();
                });
            }
        }
    }
}

#[test]
fn bsds_photographs_have_several_annotators() {
    let Some(dataset) = shared("bsds500", "val") else { return };
    assert_eq!(dataset.len(), 100);
    let sample = dataset.get(0).unwrap();
    sample.check(dataset.tasks()).unwrap();
    let Label::Edges(maps) = &sample.labels["edge"] else { panic!() };
    assert!(maps.len() >= 4);
    let share = maps[0].iter().filter(|&&v| v == 1).count() as f64 / maps[0].len() as f64;
    assert!((0.002..0.2).contains(&share), "{share}");
}
