//! A forward pass of a merged model, for all of its tasks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use polyptych_adapters::Form;
use polyptych_benches::Subject;
use polyptych_engine::Model;
use polyptych_formats::file;
use polyptych_tensor::{LoadOptions, Tensor, Tensors, manual_seed, no_grad};

use crate::case::Case;

/// See the module.
pub(crate) struct Inference {
    model: Model,
    images: Tensor,
    names: Vec<String>,
}

/// Merges a model and writes what remains, and the images, into `folder`.
pub(crate) fn merge(subject: &Subject, folder: &Path) -> Result<()> {
    manual_seed(0);
    let batch = Tensors::from([("images".to_owned(), subject.images())]);
    file::save(&stored(folder, "images"), &batch, Default::default())?;
    let adapted = subject.stirred()?;
    let merged = no_grad(|| adapted.merged())?;
    drop(adapted);
    Ok(file::save(&stored(folder, "weights"), &merged, Default::default())?)
}

impl Inference {
    /// Reads what [`merge`] writes in a process of its own: its memory would hide that of the passes.
    pub(crate) fn new(subject: Subject, folder: &Path) -> Result<Self> {
        let mut merging = Command::new(std::env::current_exe()?);
        merging.args(std::env::args_os().skip(1)).arg("--merge").stdin(Stdio::null());
        let status = merging.status()?;
        if !status.success() {
            bail!("merging failed: {status}");
        }
        let model = load(&subject, folder)?;
        let images = file::load(&stored(folder, "images"))?.tensors["images"]
            .to_device(subject.device)
            .copy();
        let names = subject.specs().into_iter().map(|spec| spec.name).collect();
        Ok(Self { model, images, names })
    }

    fn forward(&self) -> Result<Vec<Tensor>> {
        Ok(no_grad(|| self.model.forward(&self.images, false))?)
    }
}

fn stored(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.safetensors"))
}

fn load(subject: &Subject, folder: &Path) -> Result<Model> {
    let merged = file::load(&stored(folder, "weights"))?.tensors;
    let model = subject.model(Form::Merged)?;
    model.store.load("bench", &merged, &LoadOptions::default())?;
    model.store.set_trainable(|_| false);
    model.store.store_frozen_as(subject.precision.kind());
    Ok(model)
}

impl Case for Inference {
    fn run(&mut self) -> Result<()> {
        self.forward().map(drop)
    }

    fn check(&mut self) -> Result<Tensors> {
        let outputs = self.forward()?;
        let named = self.names.iter().zip(outputs);
        Ok(named.map(|(name, output)| (format!("output.{name}"), output)).collect())
    }

    fn items(&self) -> i64 {
        self.images.size()[0]
    }
}
