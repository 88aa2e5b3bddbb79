//! The commands of the README, the first page and the tutorials, run one after the other as a reader
//! types them, but for few steps and on small data.
use std::path::Path;

use crate::common::succeed;
use image::{GrayImage, ImageBuffer, Luma, RgbImage};

/// Few steps, and a schedule that fits them.
const SHORT: [&str; 5] = [
    "train.steps=2",
    "train.eval_every=2",
    "train.save_every=2",
    "train.schedule.warmup_steps=1",
    "train.schedule.cooldown_steps=0",
];

/// Weights that the tutorial fetches; the test draws some.
const DINOV2: &str = "vit_small_patch14_reg4_dinov2.lvd142m";

/// What makes a recipe small, as values of `--set`.
fn overrides(recipe: &str) -> Vec<String> {
    let lens = |sets: usize, train: usize, eval: usize| {
        (0..sets).flat_map(move |set| {
            [format!("data.train.{set}.len={train}"), format!("data.eval.{set}.len={eval}")]
        })
    };
    let mut sets: Vec<String> = SHORT.map(str::to_owned).to_vec();
    match recipe {
        // A run goes on with its own recipe.
        "--resume" => return vec!["train.steps=4".to_owned()],
        "quickstart" => sets.extend(lens(1, 8, 4)),
        "dinov2-vits-dense" | "dinov2-vits-dense.toml" => {
            sets.extend(lens(1, 4, 2));
            sets.extend(["data.img_size=[28,28]", "data.batch_size=2"].map(str::to_owned));
        }
        "emtal-quickstart" => {
            sets.extend(lens(4, 120, 20));
            sets.push("adapter.experts.restarts=1".to_owned());
        }
        _ => sets.push("data.img_size=[32,32]".to_owned()),
    }
    sets
}

/// Runs the commands of a page in `folder`.
fn follow(folder: &Path, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("polyptych ")).collect();
    assert!(commands.len() > 2, "{page} has {} commands", commands.len());
    for command in commands {
        let (command, _) = command.split_once(" #").unwrap_or((command, ""));
        let mut words = shell(command);
        words.remove(0);
        // A server does not end, a test has no browser, and CamVid must be fetched.
        if words[0] == "serve" || words.iter().any(|word| word == "camvid-bsds500") {
            continue;
        }
        words.retain(|word| word != "--open");
        // A test asks no network.
        for word in words.iter_mut().filter(|word| word.as_str() == DINOV2) {
            *word = "timm".to_owned();
        }
        if words[0] == "train" {
            let sets = overrides(words.get(1).map_or("quickstart", String::as_str));
            words.extend(sets.into_iter().flat_map(|set| ["--set".to_owned(), set]));
        }
        succeed(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Trains a shipped recipe for few steps.
fn train(folder: &Path, recipe: &str) {
    let sets = overrides(recipe);
    let sets = sets.iter().flat_map(|set| ["--set", set.as_str()]);
    succeed(folder, &["train", recipe].into_iter().chain(sets).collect::<Vec<_>>());
}

/// The words of a command that has no quotes but single ones.
fn shell(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in command.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// Twenty photographs, classes for all and depth for every other one.
fn garden(folder: &Path) {
    for name in ["photos", "semseg", "depth"] {
        std::fs::create_dir_all(folder.join("garden").join(name)).unwrap();
    }
    for index in 0..20_u32 {
        let file = |of: &str, ending: &str| folder.join(format!("garden/{of}/{index:04}.{ending}"));
        let photograph = RgbImage::from_fn(48, 32, |x, y| {
            let noise = (x * 31 + y * 17 + index * 7) % 61;
            image::Rgb([x as u8 * 4, y as u8 * 6, 60 + noise as u8])
        });
        photograph.save(file("photos", "jpg")).unwrap();
        let classes =
            GrayImage::from_fn(48, 32, |x, y| Luma([u8::from(x > 20 + index) + u8::from(y > 20)]));
        classes.save(file("semseg", "png")).unwrap();
        if index % 2 == 0 {
            let depth: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_fn(48, 32, |x, y| {
                Luma([1000 + (x * 40 + y * 25 + index) as u16])
            });
            depth.save(file("depth", "png")).unwrap();
        }
    }
}

#[test]
fn the_readme_and_the_first_page() {
    for page in ["README.md", "docs/start.md"] {
        let folder = tempfile::tempdir().unwrap();
        garden(folder.path());
        let from = folder.path().join("garden/photos/0000.jpg");
        std::fs::copy(from, folder.path().join("photograph.jpg")).unwrap();
        follow(folder.path(), page);
        for made in ["runs/quickstart/merged", "runs/garden", "predictions/photograph.png"] {
            assert!(folder.path().join(made).exists(), "{page}: {made}");
        }
    }
}

#[test]
fn a_folder_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    garden(folder.path());
    // The page predicts photographs of the reader.
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    let from = folder.path().join("garden/photos/0000.jpg");
    std::fs::copy(from, folder.path().join("photos/mine.jpg")).unwrap();
    follow(folder.path(), "docs/tutorials/own-folder.md");
    assert!(folder.path().join("predictions/mine.png").exists());
}

#[test]
fn several_data_sets() {
    let folder = tempfile::tempdir().unwrap();
    follow(folder.path(), "docs/tutorials/several-data-sets.md");
    assert!(folder.path().join("runs/emtal-quickstart/merged").exists());
}

#[test]
fn merging_and_exports() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), "quickstart");
    follow(folder.path(), "docs/tutorials/merge-and-serve.md");
    assert!(folder.path().join("quickstart.onnx").exists());
}

#[test]
fn comparing_methods() {
    let folder = tempfile::tempdir().unwrap();
    follow(folder.path(), "docs/tutorials/compare-methods.md");
    assert!(folder.path().join("compare.html").exists());
}

#[test]
fn features_of_dinov2() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), "dinov2-vits-dense");
    let export = ["export", "runs/dinov2-vits-dense", "--format", "timm", "--out", "timm"];
    succeed(folder.path(), &export);
    RgbImage::from_pixel(48, 32, image::Rgb([90, 120, 60]))
        .save(folder.path().join("photograph.jpg"))
        .unwrap();
    follow(folder.path(), "docs/tutorials/dinov2.md");
    for made in ["dinov2.safetensors", "runs/dinov2/merged", "predictions/photograph.png"] {
        assert!(folder.path().join(made).exists(), "{made}");
    }
    let recipe = std::fs::read_to_string(folder.path().join("runs/dinov2/recipe.toml")).unwrap();
    assert!(recipe.contains("weights = \"dinov2.safetensors\""), "{recipe}");
}

#[test]
fn several_devices() {
    let folder = tempfile::tempdir().unwrap();
    follow(folder.path(), "docs/tutorials/several-devices.md");
    let log = std::fs::read_to_string(folder.path().join("runs/two/metrics.jsonl")).unwrap();
    let steps_of_two = log.matches("\"world_size\":2").count();
    assert_eq!((steps_of_two, log.matches("\"step\":4,").count() > 0), (2, true), "{log}");
}

#[test]
fn every_tutorial_is_followed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tutorials");
    for item in std::fs::read_dir(folder).unwrap() {
        let name = item.unwrap().file_name();
        let page = format!("\"docs/tutorials/{}\"", name.to_string_lossy());
        assert!(include_str!("tutorials.rs").contains(&page), "nothing follows {page}");
    }
}

/// `number` as a word of some line of the README that has `text`.
fn readme_says(text: &str, number: usize) {
    let readme = include_str!("../../../../README.md");
    let lines: Vec<&str> = readme.lines().filter(|line| line.contains(text)).collect();
    let says = |line: &&str| line.split(' ').any(|word| word == number.to_string());
    assert!(lines.iter().any(says), "expected {number} in a line with {text}, found {lines:?}");
}

#[test]
fn numbers_of_the_readme_are_those_of_the_registries() {
    let parts = polyptych_engine::reference().parts;
    let methods = parts.iter().filter(|part| part.kind == "adapter method").count();
    readme_says("MTLoRA, VMT-Adapter, EMTAL and ", methods - 3);
    readme_says("`polyptych recipe balancers` lists ", polyptych_engine::balancers().len());
}
