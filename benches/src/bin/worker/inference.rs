//! A forward pass of a folded model, for all of its tasks.

use std::path::Path;

use anyhow::Result;
use polyptych_adapters::Form;
use polyptych_benches::Subject;
use polyptych_engine::Model;
use polyptych_tensor::{LoadOptions, Tensor, Tensors, file, manual_seed, no_grad};

use crate::case::Case;

/// See the module.
pub(crate) struct Inference {
    model: Model,
    images: Tensor,
    names: Vec<String>,
}

impl Inference {
    /// Folds a model and writes what remains, and the images, into `folder`.
    pub(crate) fn new(subject: Subject, folder: &Path) -> Result<Self> {
        manual_seed(0);
        let adapted = subject.stirred()?;
        let folded = no_grad(|| adapted.folded())?;
        let model = subject.model(Form::Folded)?;
        model.store.load("bench", &folded, &LoadOptions::default())?;
        let images = subject.images();
        let batch = Tensors::from([("images".to_owned(), images.shallow_clone())]);
        for (name, tensors) in [("weights", &folded), ("images", &batch)] {
            let path = folder.join(format!("{name}.safetensors"));
            file::save(&path, tensors, Default::default())?;
        }
        model.store.set_trainable(|_| false);
        model.store.store_frozen_as(subject.precision.kind());
        let names = subject.specs().into_iter().map(|spec| spec.name).collect();
        Ok(Self { model, images, names })
    }

    fn forward(&self) -> Result<Vec<Tensor>> {
        Ok(no_grad(|| self.model.forward(&self.images, false))?)
    }
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
