//! What every format is made from, and the report on what was written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyptych_adapters::{Form, is_method_parameter};
use polyptych_formats::file;
use polyptych_tensor::{Int8, LoadOptions, NoAdapter, Store, Tensor, Tensors, no_grad};

use super::check::check;
use super::merge;
use crate::model::int8::Int8Maps;
use crate::model::trunk::Trunk;
use crate::{Difference, Error, Model, OpenRun, Recipe, Result, to_tensor};

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportReport {
    /// Largest difference to the model per output, on the probe batch.
    pub differences: BTreeMap<String, Difference>,
    /// Images in the probe batch.
    pub probe_images: usize,
    /// The files.
    pub files: Vec<PathBuf>,
    /// What its users have to know.
    pub notes: Vec<String>,
}

/// What every format is made from: the merged model in float32, and a batch to compare on.
pub(super) struct Subject<'a> {
    pub(super) run: &'a OpenRun,
    pub(super) recipe: Recipe,
    pub(super) model: Model,
    pub(super) images: Tensor,
}

impl<'a> Subject<'a> {
    /// Merges the model of `run` and compares it with the trained one.
    ///
    /// # Errors
    /// A model that is not ready to merge, or whose merged form gives other outputs.
    pub(super) fn new(run: &'a OpenRun) -> Result<Self> {
        if let Some(reason) = run.model.unmergeable() {
            return Err(Error::Unmergeable { path: run.folder.path().into(), reason });
        }
        let recipe = run.recipe_in_float32();
        let device = run.model.store.device();
        let tensors = match run.form {
            Form::Adapted => run.model.merged()?,
            Form::Merged => run.model.float_tensors(),
        };
        let model = Model::new(&recipe, &run.folder.specs()?, Form::Merged, device)?;
        model.store.load("merged model", &tensors, &LoadOptions::default())?;
        model.store.set_trainable(|_| false);
        model.set_int8_maps(&by_calibrated_ranges(run.model.int8_maps()));
        let images = to_tensor(&merge::probe(run)?.images, device);
        if run.form == Form::Adapted {
            let trained = run.model_in_float32()?;
            let differences = merge::compare(&model, &trained, &images)?;
            differences.iter().try_for_each(|(key, difference)| check(*difference, key))?;
        }
        Ok(Self { run, recipe, model, images })
    }

    /// Why the run cannot be written so.
    pub(super) fn refused(&self, reason: impl Into<String>) -> Error {
        Error::Run { path: self.run.folder.path().into(), reason: reason.into() }
    }

    /// The one backbone of the model.
    pub(super) fn trunk(&self) -> Result<&Trunk> {
        match self.model.trunks() {
            [trunk] => Ok(trunk),
            _ => Err(self.refused(
                "expected one backbone, found one for every task: `polyptych merge` writes each \
                 as backbone.<task>.safetensors",
            )),
        }
    }

    /// The backbone without parameters of its method, and a note on what that leaves out: of
    /// MTLoRA, which has factors of single tasks, the part that all tasks share.
    pub(super) fn plain_tensors(&self) -> Result<(Tensors, Option<String>)> {
        let tensors = self.tensors_of(self.trunk()?);
        let Some(kept) = tensors.keys().find(|name| is_method_parameter(name)).cloned() else {
            return Ok((tensors, None));
        };
        let only_whole = "torchscript and onnx have them all";
        let shared = self.recipe.adapter.to_peft(&tensors).map_err(|cause| {
            self.refused(format!(
                "expected a plain backbone, found parts that stay per task, such as {kept}: \
                 {only_whole} ({cause})"
            ))
        })?;
        let note = format!(
            "{} parameters of single tasks, such as {}, are left out: this is the part that all \
             tasks share, {only_whole}",
            shared.left_out.len(),
            shared.left_out.first().unwrap_or(&kept)
        );
        Ok((shared.merged()?, Some(note)))
    }

    /// The tensors of `trunk` under its own names.
    fn tensors_of(&self, trunk: &Trunk) -> Tensors {
        let prefix = format!("{}.", trunk.prefix());
        let tensors = self.model.store.tensors().into_iter();
        tensors
            .filter_map(|(name, t)| Some((name.strip_prefix(&prefix)?.to_owned(), t.detach())))
            .collect()
    }

    /// The report on `weights`, a plain backbone and perhaps its classifier, under timm's names.
    pub(super) fn compare_plain(
        &self,
        weights: &Tensors,
        classes: i64,
    ) -> Result<BTreeMap<String, Difference>> {
        let trunk = self.trunk()?;
        let config = self.model.backbone_config().clone().with_num_classes(classes);
        let store = Store::new(self.model.store.device());
        let pyramid = self.recipe.backbone.pyramid.unwrap_or_else(|| trunk.plan.pyramid());
        let options = polyptych_backbones::Options { pyramid: Some(pyramid), ..Default::default() };
        let plain = config.init(&store.root(), &NoAdapter::Frozen, options)?;
        store.load("exported file", weights, &LoadOptions::default())?;
        no_grad(|| {
            let found = plain.forward_intermediates(&self.images, false)?;
            if classes > 0 {
                let logits = plain.forward_head(&found.features, false).into_shared();
                let ours = Tensor::cat(&self.model.forward(&self.images, false)?, 1);
                return Ok(BTreeMap::from([(
                    "logits".to_owned(),
                    Difference::between(&logits, &ours),
                )]));
            }
            let ours = trunk.backbone.forward_intermediates(&self.images, false)?;
            let levels = found.levels.iter().zip(&ours.levels).enumerate();
            let named = |(i, (a, b)): (usize, (&polyptych_tensor::Activations, _))| {
                let b: &polyptych_tensor::Activations = b;
                (format!("level {i}"), Difference::between(a.expect_shared(), b.expect_shared()))
            };
            Ok(levels.map(named).collect())
        })
    }

    /// Writes what the comparison was made on.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn save_probe(&self, path: &Path) -> Result<()> {
        let outputs = no_grad(|| self.model.forward(&self.images, false))?;
        let mut seen = Tensors::from([("images".to_owned(), self.images.shallow_clone())]);
        if outputs.iter().all(|output| output.dim() == 2) {
            seen.insert("logits".into(), Tensor::cat(&outputs, 1));
        }
        for (task, output) in self.model.tasks.iter().zip(outputs) {
            seen.insert(format!("output.{}", task.spec.name), output);
        }
        if let [trunk] = self.model.trunks() {
            let forward = || trunk.backbone.forward_intermediates(&self.images, false);
            for (index, level) in no_grad(forward)?.levels.into_iter().enumerate() {
                let shared = level.shared().map(Tensor::shallow_clone);
                seen.extend(shared.map(|shared| (format!("level.{index}"), shared)));
            }
        }
        let seen = seen.into_iter().map(|(name, tensor)| (name, tensor.contiguous())).collect();
        Ok(file::save(path, &seen, Default::default())?)
    }

    /// The report on `files`.
    pub(super) fn report(
        &self,
        differences: BTreeMap<String, Difference>,
        files: Vec<PathBuf>,
    ) -> ExportReport {
        let probe_images = self.images.size()[0] as usize;
        ExportReport { differences, probe_images, files, notes: Vec::new() }
    }
}

/// Ranges of tokens are not known before they come, and files have those of the calibration.
fn by_calibrated_ranges(maps: Int8Maps) -> Int8Maps {
    maps.into_iter().map(|(name, int8)| (name, Int8 { per_token: false, ..int8 })).collect()
}

impl ExportReport {
    /// Itself, where every difference is small enough.
    ///
    /// # Errors
    /// The first that is not.
    pub(super) fn check(self) -> Result<Self> {
        self.differences.iter().try_for_each(|(key, difference)| check(*difference, key))?;
        Ok(self)
    }
}
