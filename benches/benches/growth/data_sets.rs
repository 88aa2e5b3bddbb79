//! A data set of many samples: to open, to check, to shuffle.

use std::cell::Cell;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use image::{GrayImage, RgbImage};
use polyptych_data::{Dataset, FolderDataset, Loader, LoaderConfig, Root, ValidationReport};
use tempfile::TempDir;

use crate::table::Table;

const MANIFEST: &str = r#"
name = "many"
[layout]
images = "images/{split}/{id}.png"
[splits]
train = {}
[[tasks]]
name = "semseg"
kind = "semseg"
label = "labels/{split}/{id}.png"
format = "index_png"
ignore = [255]
classes = ["sky", "ground"]
"#;

/// A data set and what reads it.
struct Many {
    _folder: TempDir,
    root: Root,
    manifest: PathBuf,
    loader: Loader,
    epoch: Cell<u64>,
}

pub(crate) fn table(samples: [usize; 3], rounds: usize) -> String {
    let [small, middle, large] = samples.map(Many::new);
    let mut table = Table::new("samples", samples, rounds);
    let mut row = |what: &str, work: &dyn Fn(&Many)| {
        table.row(what, [&|| work(&small), &|| work(&middle), &|| work(&large)]);
    };
    row("open", &|many| drop(black_box(many.open())));
    row("check", &Many::check);
    row("shuffle, and the first batch of an epoch", &Many::first_batch);
    table.text()
}

impl Many {
    /// A folder of `len` images with labels, which are one file under many names.
    fn new(len: usize) -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for files");
        let path = |name: &str| folder.path().join(name);
        for name in ["images/train", "labels/train"] {
            std::fs::create_dir_all(path(name)).expect("the folder is writable");
        }
        let [image, label] = [path("image.png"), path("label.png")];
        RgbImage::new(8, 8).save(&image).expect("the folder is writable");
        let halves = GrayImage::from_fn(8, 8, |x, _| image::Luma([u8::from(x > 3)]));
        halves.save(&label).expect("as above");
        for index in 0..len {
            // Systems limit the names of one file.
            for (from, to) in [(&image, "images"), (&label, "labels")] {
                let to = path(&format!("{to}/train/{index:06}.png"));
                std::fs::hard_link(from, &to)
                    .or_else(|_| std::fs::copy(from, &to).map(drop))
                    .expect("the folder is writable");
            }
        }
        let manifest = path("many.toml");
        std::fs::write(&manifest, MANIFEST).expect("the folder is writable");
        let root = Root::new(folder.path(), false);
        let dataset: Arc<dyn Dataset> = Arc::new(opened(&manifest, &root));
        let config = LoaderConfig { shuffle: true, ..LoaderConfig::evaluation(1, [8, 8]) };
        let loader = Loader::new(dataset, config).expect("the configuration is in range");
        Self { _folder: folder, root, manifest, loader, epoch: Cell::new(0) }
    }

    fn open(&self) -> FolderDataset {
        opened(&self.manifest, &self.root)
    }

    fn check(&self) {
        let report =
            ValidationReport::of_folder(&self.manifest, &self.root, &[], &|_: &str, _, _| {});
        black_box(report.expect("it was written so"));
    }

    fn first_batch(&self) {
        self.epoch.set(self.epoch.get() + 1);
        let mut batches = self.loader.epoch(self.epoch.get(), 0).expect("a thread starts");
        black_box(batches.next());
    }
}

fn opened(manifest: &std::path::Path, root: &Root) -> FolderDataset {
    FolderDataset::open(manifest, root, "train").expect("it was written so")
}
