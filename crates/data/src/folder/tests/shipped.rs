//! The manifests of the repository over made folders in the published layouts.

use super::*;
use crate::decode::idx::tests::{gzip, idx};

/// A folder to lay files out in, and the manifest `name` of the repository.
struct Shipped(Fixture, PathBuf);

impl Shipped {
    fn new(name: &str) -> Self {
        let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        Self(Fixture(tempfile::tempdir().unwrap()), datasets.join(format!("{name}.toml")))
    }

    fn path(&self) -> &Path {
        self.0.0.path()
    }

    fn open(&self, split: &str) -> Result<FolderDataset> {
        FolderDataset::open(&self.1, &Root::new(self.path(), false), split)
    }

    /// The message of opening the split, without the folder's name.
    fn message(&self, split: &str) -> String {
        let message = self.open(split).unwrap_err().to_string();
        message.replace(&format!("{}/", self.path().display()), "")
    }

    /// Names and classes of the split's samples; the task is called as the data set.
    fn samples(&self, split: &str) -> Vec<(String, u32)> {
        let dataset = self.open(split).unwrap();
        assert_eq!(dataset.tasks().len(), 1);
        assert_eq!(dataset.tasks()[0].name, dataset.name());
        let sample = |index: usize| {
            let sample = dataset.get(index).unwrap();
            sample.check(dataset.tasks()).unwrap();
            let Label::Category(class) = sample.labels[dataset.name()] else { panic!() };
            (sample.name, class)
        };
        (0..dataset.len()).map(sample).collect()
    }

    fn classes(&self, split: &str) -> Vec<String> {
        self.open(split).unwrap().tasks()[0].classes.clone()
    }
}

fn pairs(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
    expected.iter().map(|&(name, class)| (name.to_owned(), class)).collect()
}

/// Three images and three classes as the birds' authors lay them out.
fn birds() -> Shipped {
    let set = Shipped::new("cub");
    set.0.write("classes.txt", b"1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n");
    let paths = ["001.Black_footed_Albatross/B_1.jpg", "002.Laysan_Albatross/L_1.jpg"];
    let third = "001.Black_footed_Albatross/B_2.jpg";
    let images = format!("1 {}\n2 {third}\n3 {}\n", paths[0], paths[1]);
    set.0.write("images.txt", images.as_bytes());
    set.0.write("image_class_labels.txt", b"1 1\n2 1\n3 2\n");
    set.0.write("train_test_split.txt", b"1 1\n2 0\n3 1\n");
    [paths[0], paths[1], third].iter().for_each(|path| set.0.image(&format!("images/{path}")));
    set
}

#[test]
fn birds_follow_the_authors_lists() {
    let set = birds();
    let train = [("001.Black_footed_Albatross/B_1.jpg", 0), ("002.Laysan_Albatross/L_1.jpg", 1)];
    assert_eq!(set.samples("train"), pairs(&train));
    assert_eq!(set.samples("test"), pairs(&[("001.Black_footed_Albatross/B_2.jpg", 0)]));
    assert_eq!(set.classes("test"), ["001.Black_footed_Albatross", "002.Laysan_Albatross"]);
}

#[test]
fn classes_of_a_file_are_ordered_by_number() {
    let set = birds();
    let lines = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map(|number| format!("{number} bird{number}\n"));
    set.0.write("classes.txt", lines.concat().as_bytes());
    let classes = set.classes("test");
    assert_eq!((classes.len(), classes[1].as_str(), classes[9].as_str()), (10, "bird2", "bird10"));
}

#[test]
fn a_bird_that_is_never_trained_on_is_named() {
    let set = birds();
    set.0.write("train_test_split.txt", b"1 1\n2 1\n3 0\n");
    assert_eq!(
        set.message("train"),
        "cub: split `train`: cub: expected at least 1 image of every class, found none of \
         `002.Laysan_Albatross`"
    );
    assert_eq!(set.samples("test").len(), 1);
}

#[test]
fn lists_of_birds_must_fit_each_other() {
    let set = birds();
    set.0.write("image_class_labels.txt", b"1 1\n2 1\n");
    assert_eq!(
        set.message("train"),
        "image_class_labels.txt: id: expected a line for every id of the other tables, found 3"
    );
    set.0.write("image_class_labels.txt", b"1 1\n2 1\n3 3\n");
    assert_eq!(
        set.message("train"),
        "image_class_labels.txt: 002.Laysan_Albatross/L_1.jpg: cub: expected a class from 1 to 2, \
         found 3"
    );
    set.0.write("image_class_labels.txt", b"1 1\n2 1\n2 2\n3 2\n");
    assert_eq!(
        set.message("train"),
        "image_class_labels.txt: line 3: expected another id than that of line 2, found 2 2"
    );
    set.0.write("image_class_labels.txt", b"1 1\n\n2\n");
    assert_eq!(
        set.message("train"),
        "image_class_labels.txt: line 3: expected an id and a value with a space between, found 2"
    );
    let set = birds();
    set.0.write("images.txt", b"1 ../secret.jpg\n");
    assert_eq!(
        set.message("train"),
        "images.txt: line 1: expected names below the data set's folder, found 1 ../secret.jpg"
    );
    fs::remove_file(set.path().join("images.txt")).unwrap();
    assert!(set.message("train").starts_with("images.txt: "));
}

/// Image folders of one data set: `train` and `test` with the same classes.
fn folders(name: &str, classes: &[&str]) -> Shipped {
    let set = Shipped::new(name);
    for class in classes {
        set.0.image(&format!("train/{class}/1.jpg"));
        set.0.image(&format!("train/{class}/2.jpg"));
        set.0.image(&format!("test/{class}/3.jpg"));
    }
    set
}

/// Whether classes given in natural order come back in it, with their images.
fn holds_in_order(name: &str, classes: &[&str]) {
    let set = folders(name, classes);
    assert_eq!(set.classes("train"), classes);
    assert_eq!(set.classes("test"), classes);
    let (train, test) = (set.samples("train"), set.samples("test"));
    assert_eq!((train.len(), test.len()), (2 * classes.len(), classes.len()));
    for (title, class) in train.iter().chain(&test) {
        assert_eq!(title.split_once('/').unwrap().0, classes[*class as usize]);
    }
}

#[test]
fn flowers_are_counted_not_spelt() {
    holds_in_order("flowers", &["1", "2", "3", "10", "11", "20", "100", "102"]);
}

#[test]
fn cars_are_in_the_order_of_their_folders() {
    holds_in_order(
        "cars",
        &[
            "Acura RL Sedan 2012",
            "Acura TL Sedan 2012",
            "AM General Hummer SUV 2000",
            "BMW M3 Coupe 2012",
        ],
    );
}

#[test]
fn aircraft_are_in_the_order_of_their_folders() {
    holds_in_order("aircraft", &["707-320", "727-200", "A300B4", "A330-300", "An-12", "F-16A-B"]);
}

#[test]
fn a_class_that_one_split_lacks_keeps_the_others_in_place() {
    let set = folders("flowers", &["1", "2", "10"]);
    fs::remove_dir_all(set.path().join("test/2")).unwrap();
    assert_eq!(set.samples("test"), pairs(&[("1/3", 0), ("10/3", 2)]));
    set.0.image("test/3/1.jpg");
    assert_eq!(set.samples("test"), pairs(&[("1/3", 0), ("10/3", 3), ("3/1", 2)]));
    assert_eq!(
        set.message("train"),
        "flowers: split `train`: flowers: expected at least 1 image of every class, found none of `3`"
    );
}

#[test]
fn empty_class_folders_are_named_too() {
    let set = folders("cars", &["A", "B"]);
    for class in ["C", "D", "E", "F", "G", "H"] {
        fs::create_dir_all(set.path().join("train").join(class)).unwrap();
    }
    let message = set.message("train");
    assert!(message.ends_with("found none of `C`, `D`, `E`, `F`, `G` and 1 more"), "{message}");
    assert_eq!(
        Shipped::new("cars").message("train"),
        "cars: split `train` is empty: expected at least 1 sample, found 0, looked for \
         {split}/{class}/{id}.{ext}"
    );
}

/// One image a class in `train800`, two more classes again in `val200`, and one test image.
fn lists(name: &str, classes: u32) -> Shipped {
    let set = Shipped::new(name);
    let line = |folder: &str, class: u32| {
        let path = format!("images/{folder}/{class:06}.jpg");
        set.0.image(&path);
        format!("{path} {class}\n")
    };
    let train: String = (0..classes).map(|class| line("train800", class)).collect();
    let val: String = [1, 0].map(|class| line("val200", class)).concat();
    let test = line("test", classes - 1);
    set.0.write("train800val200.txt", format!("{train}{val}").as_bytes());
    set.0.write("train800.txt", train.as_bytes());
    set.0.write("val200.txt", val.as_bytes());
    set.0.write("test.txt", test.as_bytes());
    set
}

#[test]
fn vtab_lists_give_paths_and_classes() {
    let sets = [("patch_camelyon", 2), ("eurosat", 10), ("resisc45", 45), ("retinopathy", 5)];
    assert_eq!(sets.iter().map(|(_, classes)| classes).sum::<u32>(), 62);
    for (name, classes) in sets {
        let set = lists(name, classes);
        assert_eq!(set.classes("test").len(), classes as usize);
        let count = |split: &str| set.samples(split).len() as u32;
        assert_eq!([count("train"), count("train800")], [classes + 2, classes]);
        let val = [("images/val200/000000.jpg", 0), ("images/val200/000001.jpg", 1)];
        assert_eq!(set.samples("val200"), pairs(&val));
        let last = format!("images/test/{:06}.jpg", classes - 1);
        assert_eq!(set.samples("test"), [(last, classes - 1)]);
    }
}

#[test]
fn wrong_vtab_lists_are_named() {
    let set = lists("eurosat", 10);
    let listed = |lines: &str| {
        set.0.write("test.txt", lines.as_bytes());
        set.message("test")
    };
    assert_eq!(
        listed("images/test/000009.jpg 10\n"),
        "test.txt: images/test/000009.jpg: eurosat: expected a class from 0 to 9, found 10"
    );
    assert!(listed("images/test/000009.jpg -1\n").ends_with("from 0 to 9, found -1"));
    assert!(listed("images/test/000009.jpg\n").starts_with("test.txt: line 1: expected an id"));
    assert!(listed("images/test/7.jpg 7\n").starts_with("images/test/7.jpg: "));
    for outside in ["../x.jpg 0\n", "images/../../x.jpg 0\n", "/x.jpg 0\n", "a\\..\\x.jpg 0\n"] {
        let message = listed(outside);
        assert!(message.starts_with("test.txt: line 1: expected names below"), "{message}");
    }
    assert!(listed("\n").contains("split `test` is empty"));
    set.0.write("train800.txt", b"images/train800/000001.jpg 1\n");
    let message = set.message("train800");
    assert!(message.contains("found none of `AnnualCrop`, `HerbaceousVegetation`"), "{message}");
}

/// Images of 2 x 3 pixels whose values are the image's place; `labels` says which classes.
fn clothes(part: &str, labels: &[u8], set: &Shipped) {
    let pixels: Vec<u8> = (0..labels.len()).flat_map(|place| [place as u8; 6]).collect();
    let images = idx(&[labels.len() as u32, 2, 3], &pixels);
    set.0.write(&format!("{part}-images-idx3-ubyte.gz"), &gzip(&images));
    let labels = idx(&[labels.len() as u32], labels);
    set.0.write(&format!("{part}-labels-idx1-ubyte.gz"), &gzip(&labels));
}

fn all_clothes() -> (Shipped, Vec<u8>) {
    let set = Shipped::new("fashion_mnist");
    let classes: Vec<u8> = (0..200).map(|place| (place % 10) * 7 % 10).collect();
    clothes("train", &classes, &set);
    clothes("t10k", &[9, 0], &set);
    (set, classes)
}

#[test]
fn clothes_come_from_idx_files() {
    let (set, classes) = all_clothes();
    let (train, val) = (set.samples("train"), set.samples("val"));
    assert_eq!(train.len() + val.len(), 200);
    assert!((10..30).contains(&val.len()), "{}", val.len());
    for (name, class) in train.iter().chain(&val) {
        assert_eq!(*class, u32::from(classes[name.parse::<usize>().unwrap()]));
    }
    let parts: std::collections::BTreeSet<_> = train.iter().chain(&val).collect();
    assert_eq!(parts.len(), 200);
    assert_eq!(set.samples("test"), pairs(&[("00000", 9), ("00001", 0)]));
    let sample = set.open("val").unwrap().get(3).unwrap();
    let place: u8 = sample.name.parse().unwrap();
    assert_eq!(sample.image, Array3::from_elem((2, 3, 3), place));
}

#[test]
fn unpacked_idx_files_are_found_too() {
    let (set, _) = all_clothes();
    fs::remove_file(set.path().join("t10k-images-idx3-ubyte.gz")).unwrap();
    set.0.write("t10k-images-idx3-ubyte", &idx(&[2, 1, 1], &[5, 6]));
    assert_eq!(set.samples("test"), pairs(&[("00000", 9), ("00001", 0)]));
    fs::remove_file(set.path().join("t10k-images-idx3-ubyte")).unwrap();
    assert!(set.message("test").starts_with("t10k-images-idx3-ubyte.gz: "));
}

#[test]
fn wrong_idx_files_are_named() {
    let (set, _) = all_clothes();
    let labels = "t10k-labels-idx1-ubyte.gz";
    set.0.write(labels, &gzip(&idx(&[1], &[9])));
    assert_eq!(
        set.message("test"),
        "t10k-labels-idx1-ubyte.gz: not a readable idx file: 1 labels, expected 2, one for each \
         image of t10k-images-idx3-ubyte.gz"
    );
    set.0.write(labels, &gzip(&idx(&[2], &[9, 10])));
    assert_eq!(
        set.message("test"),
        "t10k-labels-idx1-ubyte.gz: 00001: fashion_mnist: expected a class from 0 to 9, found 10"
    );
    set.0.write(labels, &gzip(&idx(&[2, 1], &[9, 0])));
    assert!(set.message("test").contains("not a readable idx file: first bytes [00, 00, 08, 02]"));
    let packed = gzip(&idx(&[2], &[9, 0]));
    set.0.write(labels, &packed[..packed.len() - 4]);
    assert!(set.message("test").contains("not a readable idx file: cut off or damaged"));
    let few = Shipped::new("fashion_mnist");
    clothes("train", &[1; 100], &few);
    assert!(few.message("train").contains("found none of `T-shirt/top`, `Pullover`"));
}
