//! Photographs and dense labels: decoded, augmented and stacked.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ndarray::ArrayView4;
use polyptych_data::{AugmentConfig, ColorJitter, FolderDataset, Key, Loader, LoaderConfig, Root};
use polyptych_tensor::{Tensor, Tensors};
use serde_json::json;

use crate::case::Case;
use crate::options::Options;
use crate::photographs::{COUNT, MANIFEST, SIZE, TASKS, make};
use crate::sources::Source;

/// See the module.
pub(crate) struct Loading {
    loader: Loader,
    pinned: Loader,
    epoch: u64,
}

impl Loading {
    /// Makes the photographs in the folder, keeps them as `source` does, and says there what is
    /// compared.
    pub(crate) fn new(options: &Options, source: Source) -> Result<Self> {
        let folder = options.folder.join("photographs");
        make(&folder)?;
        let size = [options.size as usize; 2];
        let config = LoaderConfig {
            shuffle: true,
            augment: Some(dense()),
            threads: Some(options.threads as usize),
            ..LoaderConfig::evaluation(options.batch as usize, size)
        };
        let still = LoaderConfig { augment: Some(pinned()), ..LoaderConfig::evaluation(1, SIZE) };
        describe(&folder, options.tasks)?;
        let (manifest, root) = source.keep(&folder)?;
        let dataset = || FolderDataset::open(&manifest, &Root::new(&root, false), "train");
        let loader = |config| Ok::<_, anyhow::Error>(Loader::new(Arc::new(dataset()?), config)?);
        Ok(Self { loader: loader(config)?, pinned: loader(still)?, epoch: 0 })
    }
}

impl Case for Loading {
    fn run(&mut self) -> Result<()> {
        self.epoch += 1;
        self.loader.epoch(self.epoch, 0)?.try_for_each(|batch| Ok(batch.map(drop)?))
    }

    fn check(&mut self) -> Result<Tensors> {
        let first = self.pinned.epoch(0, 0)?.next().context("there are photographs")??;
        let mut found = Tensors::from([("output.image".to_owned(), tensor(first.images.view()))]);
        // Boundaries land where their pixels do, which no other loader does.
        for (task, target) in first.targets.iter().filter(|(task, _)| *task != "edge") {
            let target = target.mapv(|v| if v.is_nan() { -1.0 } else { v });
            found.insert(format!("output.{task}"), tensor(target.view()));
        }
        Ok(found)
    }

    fn items(&self) -> i64 {
        COUNT.min(self.loader.dataset().len()) as i64
    }
}

/// MTLoRA's augmentation with colours.
fn dense() -> AugmentConfig {
    let color_jitter = ColorJitter { brightness: 0.3, contrast: 0.3, saturation: 0.3 };
    AugmentConfig { color_jitter, ..AugmentConfig::pascal() }
}

/// Draws that leave nothing outside of the photograph.
fn pinned() -> AugmentConfig {
    AugmentConfig { flip: 1.0, scale: [1.25; 2], rotate_degrees: 10.0, ..dense() }
}

/// Leaves the tasks, and the draw of the first photograph, to others.
fn describe(folder: &Path, num_tasks: usize) -> Result<()> {
    let tasks = &TASKS[..num_tasks.min(TASKS.len())];
    let manifest = MANIFEST.split("\n[[tasks]]").take(tasks.len() + 1).collect::<Vec<_>>();
    std::fs::write(folder.join("photographs.toml"), manifest.join("\n[[tasks]]"))?;
    let drawn = pinned().drawn(Key { seed: 0, epoch: 0, index: 0 });
    let [brightness, contrast, saturation] = drawn.color;
    let draw = json!({
        "scale": drawn.scale,
        "degrees": drawn.degrees,
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
    });
    let classes: serde_json::Map<_, _> =
        tasks.iter().map(|(task, classes)| ((*task).to_owned(), json!(classes))).collect();
    let text = json!({"tasks": classes, "draw": draw}).to_string();
    Ok(std::fs::write(folder.join("photographs.json"), text)?)
}

/// Of a batch of one.
fn tensor(array: ArrayView4<f32>) -> Tensor {
    let (_, channels, height, width) = array.dim();
    let numbers: Vec<f32> = array.iter().copied().collect();
    Tensor::from_slice(&numbers).reshape([channels, height, width].map(|n| n as i64))
}
