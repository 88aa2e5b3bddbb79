//! A small folder data set, its recipe, and the program.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{GrayImage, Luma, RgbImage};

/// A data set of three 16 x 16 photographs with three classes, and a recipe that learns it.
pub(crate) struct Playground {
    folder: tempfile::TempDir,
}

/// The split of the manifest that is measured on.
pub(crate) const VAL: &str = "val = { folder = \"train\", overlaps = [\"train\"] }";

const MANIFEST: &str = r#"
name = "toy"
[layout]
images = "images/{split}/{id}.{ext}"
[splits]
train = {}
val = { folder = "train", overlaps = ["train"] }
[[tasks]]
name = "semseg"
kind = "semseg"
label = "labels/{split}/{id}.png"
format = "index_png"
ignore = [255]
classes = ["sky", "ground", "thing"]
"#;

const TOY: &str = r#"
batch_size = 2
allow_overlap = true
[[data.train]]
dataset = "folder"
manifest = "toy.toml"
root = "toy"
split = "train"
[[data.eval]]
dataset = "folder"
manifest = "toy.toml"
root = "toy"
split = "val"
[tasks.semseg]
weight = 1.0
head = { name = "segformer", embed_dim = 8, dropout = 0.0 }
"#;

const METHOD: &str = r#"
description = "for tests"
seed = 0
device = "cpu"
precision = "fp32"
[backbone]
name = "swin_micro_patch4_window4_128"
weights = "none"
drop_path_rate = 0.0
[adapter]
method = "lora"
r = 2
target_modules = ["qkv"]
"#;

const TRAIN: &str = r#"
[train]
steps = 4
eval_every = 4
save_every = 4
lr = 1e-3
weight_decay = 0.05
clip_grad_norm = 5.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 1, cooldown_steps = 0, start_factor = 0.1, min_factor = 0.1 }
"#;

/// A recipe that trains in a second on `data`, the rest of the table of that name and the tasks.
pub(crate) fn recipe(name: &str, data: &str) -> String {
    let small = "[data]\nimg_size = [32, 32]\nprefetch = 1\ncache_mib = 0";
    format!("name = \"{name}\"{METHOD}{small}{data}{TRAIN}")
}

impl Playground {
    pub(crate) fn new() -> Self {
        let playground = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["toy/images/train", "toy/labels/train"] {
            std::fs::create_dir_all(playground.path(folder)).unwrap();
        }
        for name in ["a", "b", "c"] {
            let photograph =
                RgbImage::from_fn(16, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 99]));
            photograph.save(playground.photograph(name)).unwrap();
            playground.write_label(name, |x, y| u8::from(y > 7) + u8::from(y > 7 && x > 9));
        }
        playground.write("toy.toml", MANIFEST);
        playground.write("recipe.toml", &recipe("toy", TOY));
        playground
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn photograph(&self, name: &str) -> PathBuf {
        self.path(&format!("toy/images/train/{name}.jpg"))
    }

    pub(crate) fn label(&self, name: &str) -> PathBuf {
        self.path(&format!("toy/labels/train/{name}.png"))
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn write_label(&self, name: &str, class: impl Fn(u32, u32) -> u8) {
        GrayImage::from_fn(16, 16, |x, y| Luma([class(x, y)])).save(self.label(name)).unwrap();
    }

    /// Runs the program in the playground.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        program(self.folder.path()).args(args).output().unwrap()
    }

    /// Runs the program, which must succeed, and returns its standard output.
    pub(crate) fn succeed(&self, args: &[&str]) -> String {
        succeed(self.folder.path(), args)
    }

    /// Runs the program, which must fail with one line, and returns that line.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = errors.lines().filter(|l| l.starts_with("error: ")).collect();
        assert_eq!(lines.len(), 1, "{errors}");
        assert!(errors.ends_with(&format!("{}\n", lines[0])), "{errors}");
        lines[0].trim_start_matches("error: ").to_owned()
    }
}

/// Runs the program in `folder`, which must succeed, and returns its standard output.
pub(crate) fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = program(folder).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The program, started in `folder`, on one thread: tests run beside each other, and threads of
/// LibTorch that wait for a core spin.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyptych"));
    command.current_dir(folder).env("OMP_NUM_THREADS", "1");
    command
}
