//! A run goes on with the data that it began with, and says in what others differ.
use crate::common::{Playground, VAL};

const RESUME: [&str; 5] = ["train", "--resume", "run", "--set", "train.steps=6"];

/// A key of the manifest, what stands there instead, and what is said of it.
const KEYS: [[&str; 3]; 6] = [
    [
        "classes = [\"sky\", \"ground\", \"thing\"]",
        "classes = [\"sky\", \"thing\", \"ground\"]",
        "tasks.semseg.classes: expected [\"sky\",\"ground\",\"thing\"], found \
         [\"sky\",\"thing\",\"ground\"]",
    ],
    ["ignore = [255]", "ignore = [2, 255]", "tasks.semseg.ignore: expected [255], found [2,255]"],
    ["ignore = [255]", "ignore = []", "tasks.semseg.ignore: expected [255], found []"],
    [
        "ignore = [255]",
        "ignore = [255]\npalette = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]",
        "tasks.semseg.palette: expected [], found [[1,2,3],[4,5,6],[7,8,9]]",
    ],
    [
        "[splits]",
        "apply_exif_orientation = false\n[splits]",
        "layout.apply_exif_orientation: expected true, found false",
    ],
    [
        "label = \"labels/{split}/{id}.png\"",
        "label = \"other/{split}/{id}.png\"",
        "tasks.semseg.label: expected labels/{split}/{id}.png, found other/{split}/{id}.png",
    ],
];

fn trained() -> Playground {
    let playground = Playground::new();
    playground.succeed(&["train", "recipe.toml", "--out", "run"]);
    std::fs::create_dir_all(playground.path("toy/other/train")).unwrap();
    for name in ["a.png", "b.png", "c.png"] {
        let [from, to] = ["labels", "other"].map(|of| playground.path(&format!("toy/{of}/train")));
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    playground
}

#[test]
fn another_manifest_is_refused_by_its_keys() {
    let playground = trained();
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    for [old, new, said] in KEYS {
        assert!(manifest.contains(old), "{old}");
        playground.write("toy.toml", &manifest.replace(old, new));
        let message = playground.refused(&RESUME);
        assert!(message.contains(said), "{message}");
        assert!(message.contains("data.train (toy, train): "), "{message}");
        assert!(message.contains("backbone.weights=run"), "{message}");
    }
    // What holds anyway changes nothing, and neither do comments, splits nor other tasks.
    let same = manifest
        .replace("[splits]", "apply_exif_orientation = true\n[splits]")
        .replace(VAL, "val = { folder = \"train\", overlaps = [\"train\"] } # measured on")
        + "threshold_of_nothing = 1";
    let same = same.replace("threshold_of_nothing = 1", "resize = false\nmap = []\n");
    playground.write("toy.toml", &same);
    playground.succeed(&RESUME);
}

#[test]
fn other_images_are_refused_by_their_number_and_size() {
    let playground = trained();
    let third = std::fs::read(playground.photograph("c")).unwrap();
    std::fs::remove_file(playground.photograph("c")).unwrap();
    let message = playground.refused(&RESUME);
    assert!(message.contains("data.train (toy, train): images: expected 3, found 2"), "{message}");
    assert!(message.contains("bytes of all images: expected "), "{message}");
    std::fs::write(playground.photograph("d"), &third).unwrap();
    let message = playground.refused(&RESUME);
    assert!(message.contains("names or lengths of single images are others"), "{message}");
    std::fs::remove_file(playground.photograph("d")).unwrap();
    std::fs::write(playground.photograph("c"), third).unwrap();
    playground.succeed(&RESUME);
}

/// What reads a run counts on its classes, so one without a checkpoint does not begin with others.
#[test]
fn a_run_without_a_checkpoint_keeps_its_classes() {
    let playground = trained();
    std::fs::remove_dir_all(playground.path("run/checkpoints")).unwrap();
    std::fs::create_dir(playground.path("run/checkpoints")).unwrap();
    let manifest = std::fs::read_to_string(playground.path("toy.toml")).unwrap();
    playground.write("toy.toml", &manifest.replace("\"thing\"", "\"thing\", \"more\""));
    let message = playground.refused(&RESUME);
    let said = "tasks.semseg.classes: expected [\"sky\",\"ground\",\"thing\"], found";
    assert!(message.contains(said), "{message}");
}
