//! One training step.

use std::path::Path;

use anyhow::Result;
use polyptych_benches::{Step, Subject};
use polyptych_formats::file;
use polyptych_tensor::{Kind, Tensors, no_grad};

use crate::case::Case;

/// See the module.
pub(crate) struct Training {
    step: Step,
}

impl Training {
    /// Makes the model and writes its first values and the batch into `folder`.
    pub(crate) fn new(subject: Subject, folder: &Path) -> Result<Self> {
        let step = Step::new(&subject)?;
        let values: Tensors = step.model.store.tensors().into_iter().collect();
        let named = step.specs.iter().zip(&step.targets);
        let named = named.map(|(spec, t)| (spec.name.clone(), t.shallow_clone())).collect();
        let batch = Tensors::from([("images".to_owned(), step.images.shallow_clone())]);
        for (name, tensors) in [("weights", &values), ("targets", &named), ("images", &batch)] {
            let path = folder.join(format!("{name}.safetensors"));
            file::save(&path, tensors, Default::default())?;
        }
        drop(values);
        step.model.store_frozen();
        Ok(Self { step })
    }
}

impl Case for Training {
    fn run(&mut self) -> Result<()> {
        let _ = self.step.backward()?;
        self.step.learn()
    }

    fn check(&mut self) -> Result<Tensors> {
        let (outputs, total) = self.step.backward()?;
        let named = self.step.specs.iter().zip(outputs);
        let mut all: Tensors =
            named.map(|(spec, output)| (format!("output.{}", spec.name), output)).collect();
        all.insert("loss".into(), total);
        let trainable = self.step.model.store.trainable().into_iter();
        let gradients = trainable.filter(|(_, tensor)| tensor.grad().defined());
        all.extend(gradients.map(|(name, tensor)| (format!("gradient.{name}"), tensor.grad())));
        Ok(no_grad(|| all.into_iter().map(|(name, t)| (name, t.to_kind(Kind::Float))).collect()))
    }

    fn items(&self) -> i64 {
        self.step.images.size()[0]
    }
}
