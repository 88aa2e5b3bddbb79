//! Published data sets by their synthetic copies: described, shown, trained on, measured, predicted.
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with the repository's manifests, as a checkout has them.
struct Checkout(tempfile::TempDir);

impl Checkout {
    /// A checkout with synthetic copies of these data sets where fetched ones lie.
    fn with(names: &[&str]) -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        fs::create_dir(checkout.path("datasets")).unwrap();
        for name in names {
            let file = format!("{name}.toml");
            fs::copy(manifests.join(&file), checkout.path("datasets").join(&file)).unwrap();
            checkout.succeed(&["data", "make", name, &format!("data/{name}")]);
        }
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program, which must succeed, and returns its standard output.
    fn succeed(&self, args: &[&str]) -> String {
        crate::common::succeed(self.0.path(), args)
    }

    /// Learns for two epochs of eight images at most, measures and predicts.
    fn learn(&self, name: &str, tasks: &[&str], images: &str) {
        self.learn_for(name, tasks, images, "val", 3);
    }

    /// The same, measured on the split `eval`, with so many photographs to predict at least.
    fn learn_for(&self, name: &str, tasks: &[&str], images: &str, eval: &str, photographs: usize) {
        let mut data = DATA.replace("NAME", name).replace("\"val\"", &format!("{eval:?}"));
        for task in tasks {
            let head = "{ name = \"segformer\", embed_dim = 8, dropout = 0.0 }";
            data += &format!("[tasks.{task}]\nweight = 1.0\nhead = {head}\n");
        }
        fs::write(self.path("recipe.toml"), crate::common::recipe("made", &data)).unwrap();
        let table = self.succeed(&["train", "recipe.toml", "--out", "run"]);
        tasks.iter().for_each(|task| assert!(table.contains(&format!("\n| {task} ")), "{table}"));
        let scores = self.succeed(&["eval", "run", "--json"]);
        let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
        assert_eq!(scores["tasks"].as_array().unwrap().len(), tasks.len());
        let seen = self.succeed(&["predict", "run", images, "--out", "seen"]);
        assert!(seen.lines().count() >= photographs, "{seen}");
    }
}

const DATA: &str = r#"
batch_size = 4
augment = "mtlora_pascal"
[[data.train]]
dataset = "folder"
manifest = "datasets/NAME.toml"
split = "train"
[[data.eval]]
dataset = "folder"
manifest = "datasets/NAME.toml"
split = "val"
"#;

const COPY: &str = "copy: synthetic copy of this repository\n";

#[test]
fn pascal_context_from_facts_to_predictions() {
    let checkout = Checkout::with(&["pascal_context"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/pascal_context.toml"]);
    assert!(facts.starts_with(COPY), "{facts}");
    assert!(facts.contains("\ntrain: 8 images; 72 x 96: 3, "), "{facts}");
    let check = checkout.succeed(&["data", "check", "datasets/pascal_context.toml"]);
    assert!(check.ends_with("\nsamples: train 8, val 4; problems: 0\n"), "{check}");
    assert!(check.contains("train: semseg: 8 of 8 images have a label\n"), "{check}");
    let tasks = ["edge", "human_parts", "normals", "sal", "semseg"];
    checkout.learn("pascal_context", &tasks, "data/pascal_context/JPEGImages");
    // Two of the tasks alone need no other files.
    for gone in ["human_parts", "normals_distill", "pascal-context"] {
        fs::remove_dir_all(checkout.path("data/pascal_context").join(gone)).unwrap();
    }
    fs::remove_dir_all(checkout.path("run")).unwrap();
    checkout.learn("pascal_context", &["sal", "semseg"], "data/pascal_context/JPEGImages");
}

#[test]
fn nyud_from_facts_to_predictions() {
    let checkout = Checkout::with(&["nyud"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/nyud.toml"]);
    assert!(facts.starts_with(COPY) && facts.contains("  depth: 8 labels; "), "{facts}");
    let tasks = ["depth", "edge", "normals", "semseg"];
    checkout.learn("nyud", &tasks, "data/nyud/images");
    let args = ["data", "show", "datasets/nyud.toml", "--augment", "mtlora_nyud", "--side", "64"];
    checkout.succeed(&args);
    let picture = image::open(checkout.path("samples.png")).unwrap();
    assert!(picture.width() > 5 * 64 && picture.height() > 8 * 48);
}

#[test]
fn cityscapes_from_facts_to_predictions() {
    let checkout = Checkout::with(&["cityscapes"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/cityscapes.toml"]);
    assert!(facts.starts_with(COPY) && facts.contains("  depth: 6 labels; "), "{facts}");
    let images = "data/cityscapes/leftImg8bit/val/frankfurt";
    checkout.learn("cityscapes", &["depth", "edge", "semseg"], images);
}

#[test]
fn ade20k_from_facts_to_predictions() {
    let checkout = Checkout::with(&["ade20k"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/ade20k.toml"]);
    assert!(facts.starts_with(COPY) && facts.contains("  semseg: 7 labels; "), "{facts}");
    checkout.learn("ade20k", &["semseg"], "data/ade20k/images/validation");
}

#[test]
fn mapillary_vistas_from_facts_to_predictions() {
    let checkout = Checkout::with(&["mapillary_vistas"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/mapillary_vistas.toml"]);
    assert!(facts.starts_with(COPY) && facts.contains("  edge: 7 labels; "), "{facts}");
    let images = "data/mapillary_vistas/validation/images";
    checkout.learn("mapillary_vistas", &["edge", "semseg"], images);
}

#[test]
fn sun_rgbd_from_facts_to_predictions() {
    let checkout = Checkout::with(&["sun_rgbd"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/sun_rgbd.toml"]);
    assert!(facts.starts_with(COPY) && facts.contains("  depth: 6 labels; "), "{facts}");
    let images = "data/sun_rgbd/kv1/NYUdata/NYU0107/image";
    checkout.learn_for("sun_rgbd", &["depth", "semseg"], images, "test", 1);
}

#[test]
fn scannet_from_facts_to_predictions() {
    let checkout = Checkout::with(&["scannet"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/scannet.toml"]);
    assert!(facts.starts_with(COPY) && facts.contains("  depth: 7 labels; "), "{facts}");
    let images = "data/scannet/scene0000_00/color";
    checkout.learn("scannet", &["depth", "edge", "semseg"], images);
}

#[test]
fn hypersim_from_facts_to_predictions() {
    let checkout = Checkout::with(&["hypersim"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/hypersim.toml"]);
    assert!(facts.starts_with(COPY) && facts.contains("  normals: 6 labels; "), "{facts}");
    let images = "data/hypersim/ai_003_001/images/scene_cam_00_final_preview";
    checkout.learn("hypersim", &["depth", "edge", "normals", "semseg"], images);
}

#[test]
fn taskonomy_from_facts_to_predictions() {
    let checkout = Checkout::with(&["taskonomy_tiny"]);
    let facts = checkout.succeed(&["data", "facts", "datasets/taskonomy_tiny.toml"]);
    assert!(facts.starts_with(COPY), "{facts}");
    let tasks = ["depth", "edge", "keypoints", "normals"];
    checkout.learn("taskonomy_tiny", &tasks, "data/taskonomy_tiny/rgb/corozal");
}

/// The recipes of the papers run on synthetic copies but for size: nothing else of them changes.
#[test]
fn paper_recipes_run_on_made_copies() {
    let small = |backbone: &str, batch: &str| {
        let sets = [
            &format!("backbone.name=\"{backbone}\""),
            "backbone.weights=none",
            "data.img_size=[32,32]",
            batch,
            "data.prefetch=1",
            "train.steps=4",
            "train.eval_every=4",
            "train.save_every=4",
            "train.schedule.warmup_steps=1",
            "train.schedule.cooldown_steps=0",
            "device=cpu",
        ];
        sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]).collect::<Vec<_>>()
    };
    let train = |checkout: &Checkout, recipe: &str, sets: Vec<String>| {
        let args = ["train", recipe, "--out", recipe];
        let args: Vec<&str> = args.into_iter().chain(sets.iter().map(String::as_str)).collect();
        checkout.succeed(&args)
    };
    let swin = || small("swin_micro_patch4_window4_128", "data.batch_size=4");
    let checkout = Checkout::with(&["pascal_context"]);
    for recipe in ["mtlora-swin-tiny-pascal", "vmt-swin-tiny-pascal"] {
        let table = train(&checkout, recipe, swin());
        assert!(table.contains("\n| human_parts "), "{table}");
    }
    let checkout = Checkout::with(&["cub", "cars", "aircraft", "flowers"]);
    let sets = small("vit_micro_patch8_128", "data.batch_size=16");
    let table = train(&checkout, "emtal-vit-base-fgvc", sets);
    assert!(table.contains("\n| flowers "), "{table}");
}

#[test]
fn a_folder_of_ones_own_gets_a_manifest_and_a_picture() {
    let checkout = Checkout::with(&["cityscapes"]);
    let said = checkout.succeed(&["data", "new", "data/cityscapes", "--out", "mine.toml"]);
    assert!(said.starts_with("mine.toml\n") && said.contains("\nmine.png\n"), "{said}");
    let next = "then run: polyptych data check mine.toml --root data/cityscapes\n";
    assert!(said.ends_with(next), "{said}");
    let args = ["data", "check", "mine.toml", "--root", "data/cityscapes"];
    let check = checkout.succeed(&args);
    assert!(check.ends_with("\nsamples: train 7, val 5; problems: 0\n"), "{check}");
    assert!(said.contains("\n  train: 7 images\n  val: 5 images\n"), "{said}");
    let picture = image::open(checkout.path("mine.png")).unwrap();
    assert!(picture.width() >= 4 * 160 && picture.height() > 6 * 80);
    let again = ["data", "new", "data/cityscapes", "--out", "mine.toml"];
    let output = crate::common::program(checkout.0.path()).args(again).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message, "error: mine.toml: expected a new file, found one that exists\n");
}

/// Three of eight masks are cut off: the samples that are drawn have one of them.
#[test]
fn a_manifest_that_does_not_fit_names_what_lists_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join("mine").join(name);
    fs::create_dir_all(path("images")).unwrap();
    fs::create_dir(path("masks")).unwrap();
    for k in 0..8 {
        let colour = |x: u32, y: u32| image::Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]);
        image::RgbImage::from_fn(32, 24, colour).save(path(&format!("images/{k}.png"))).unwrap();
        let mask = path(&format!("masks/{k}.png"));
        image::GrayImage::from_fn(32, 24, |x, _| image::Luma([(x / 11) as u8]))
            .save(&mask)
            .unwrap();
        if k % 3 == 0 {
            let bytes = fs::read(&mask).unwrap();
            fs::write(&mask, &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    let args = ["data", "new", "mine", "--out", "mine.toml"];
    let output = crate::common::program(folder.path()).args(args).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{message}");
    let said = "error: the inferred manifest does not fit all files; `polyptych data check` lists \
                where: ";
    assert!(message.starts_with(said) && message.contains("masks/"), "{message}");
}
