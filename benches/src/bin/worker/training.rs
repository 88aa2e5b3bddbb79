//! One training step: forward, losses, backward, clipping, AdamW.

use std::collections::BTreeMap;

use anyhow::Result;
use polyptych_adapters::Form;
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::Model;
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, clip_grad_norm, decay_groups};
use polyptych_tensor::{Device, Kind, LoadOptions, Tensor, Tensors, file, manual_seed, no_grad};

use crate::case::Case;
use crate::model::{images, model, specs, stir, weight};
use crate::options::Options;

/// See the module.
pub(crate) struct Training {
    model: Model,
    /// The same without dropout and stochastic depth.
    certain: Model,
    specs: Vec<TaskSpec>,
    images: Tensor,
    targets: Vec<Tensor>,
    optimiser: AdamW,
    learnt: Vec<(String, Tensor)>,
}

impl Training {
    /// Makes the model and writes its first values and the batch into the folder.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        manual_seed(0);
        let [model, certain] = [true, false].map(|chance| model(options, Form::Adapted, chance));
        let (model, certain, specs) = (model?, certain?, specs(options));
        stir(&model);
        let values: Tensors = model.store.tensors().into_iter().collect();
        certain.store.load("bench", &values, &LoadOptions::default())?;
        let images = images(options);
        let targets: Vec<Tensor> = specs.iter().map(|spec| target(spec, options)).collect();
        let named = specs.iter().zip(&targets);
        let named = named.map(|(spec, t)| (spec.name.clone(), t.shallow_clone())).collect();
        let batch = BTreeMap::from([("images".to_owned(), images.shallow_clone())]);
        for (name, tensors) in [("weights", &values), ("targets", &named), ("images", &batch)] {
            let path = options.folder.join(format!("{name}.safetensors"));
            file::save(&path, tensors, Default::default())?;
        }
        [&model, &certain].iter().for_each(|model| model.store_frozen());
        let learnt = model.store.trainable();
        let groups = decay_groups(model.store.trainable(), 0.05);
        let optimiser = AdamW::new(AdamWConfig::default(), groups);
        Ok(Self { model, certain, specs, images, targets, optimiser, learnt })
    }

    /// Outputs of all tasks and the sum of their weighted losses, whose gradients are formed.
    fn backward(&self, model: &Model) -> Result<(Vec<Tensor>, Tensor)> {
        model.store.zero_grad();
        let (mut outputs, mut total) = (Vec::new(), Vec::new());
        model.backward_in_turn(&self.images, 0, |index, output| {
            let task = &model.tasks[index];
            let value = task.loss.forward(output, &self.targets[index])?;
            outputs.push(output.detach());
            let term = value.loss * weight(&task.spec);
            total.push(term.detach());
            Ok(term)
        })?;
        Ok((outputs, total.into_iter().sum()))
    }
}

impl Case for Training {
    fn run(&mut self) -> Result<()> {
        let _ = self.backward(&self.model)?;
        clip_grad_norm(&self.learnt, 5.0);
        Ok(self.optimiser.step(1e-6)?)
    }

    fn check(&mut self) -> Result<Tensors> {
        let (outputs, total) = self.backward(&self.certain)?;
        let named = self.specs.iter().zip(outputs);
        let mut all: Tensors =
            named.map(|(spec, output)| (format!("output.{}", spec.name), output)).collect();
        all.insert("loss".into(), total);
        let learnt = self.certain.store.trainable();
        let gradients = learnt.into_iter().filter(|(_, tensor)| tensor.grad().defined());
        all.extend(gradients.map(|(name, tensor)| (format!("gradient.{name}"), tensor.grad())));
        Ok(no_grad(|| all.into_iter().map(|(name, t)| (name, t.to_kind(Kind::Float))).collect()))
    }

    fn items(&self) -> i64 {
        self.images.size()[0]
    }
}

/// Random labels, all of which count.
fn target(spec: &TaskSpec, options: &Options) -> Tensor {
    let of = (Kind::Float, Device::Cpu);
    let map = |chans: i64| [options.batch, chans, options.size, options.size];
    let classes = spec.classes.len() as i64;
    match spec.kind {
        TaskKind::Semseg | TaskKind::HumanParts => Tensor::randint(classes, map(1), of),
        TaskKind::Normals => {
            let vectors = Tensor::randn(map(3), of);
            &vectors / vectors.norm_scalaropt_dim(2.0, [1i64].as_slice(), true)
        }
        TaskKind::Classification => Tensor::randint(classes, [options.batch, 1, 1, 1], of),
        _ => Tensor::rand(map(1), of).gt(0.8).to_kind(Kind::Float),
    }
}
