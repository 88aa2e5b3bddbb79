//! A model in the formats of others, each read back and compared before it is announced.

mod check;
pub(crate) mod convert;
pub(crate) mod difference;
pub(crate) mod merge;
mod peft;
mod settings;
mod timm;
mod whole;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyptych_adapters::{Form, is_method_parameter};
use polyptych_formats::file;
use polyptych_tensor::{LoadOptions, NoAdapter, Store, Tensor, Tensors, no_grad};

use crate::error::io;
use crate::model::trunk::Trunk;
use crate::{Difference, Error, Model, OpenRun, Recipe, Result, to_tensor};
use check::check;

/// What a model is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// The plain backbone, with its classifier where all tasks name one class per image:
    /// `model.safetensors` and `config.json`.
    Timm,
    /// The factors of LoRA, DoRA or EMTAL, or those that MTLoRA's tasks share, as an adapter
    /// folder, and the weights that they stand beside.
    Peft,
    /// All tasks in one file: one input, an output per task.
    TorchScript,
    /// The same for ONNX's runtimes.
    Onnx,
}

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
struct Subject<'a> {
    run: &'a OpenRun,
    recipe: Recipe,
    model: Model,
    images: Tensor,
}

/// Writes the model of `run`, trained or merged, as `format` to `out`: a new folder or, for
/// TorchScript and ONNX, a file, with what goes in and comes out in `OUT.json` and a script that
/// does it in `OUT.py`. What it was compared on goes to the safetensors file `probe`, for
/// others to repeat it: `images`, our `output.<task>`, `level.<index>` and `logits`.
///
/// # Errors
/// A model that the format cannot express, something at `out` already, or a file that gives other
/// outputs than the trained model by more than 1e-4 of the largest; both are compared in float32.
pub fn export(
    run: &OpenRun,
    format: ExportFormat,
    out: &Path,
    probe: Option<&Path>,
) -> Result<ExportReport> {
    let [json, script] = settings::beside(out);
    let whole = matches!(format, ExportFormat::TorchScript | ExportFormat::Onnx);
    let beside = if whole { &[json, script][..] } else { &[] };
    if let Some(taken) =
        std::iter::once(out).chain(beside.iter().map(|p| p.as_path())).find(|p| p.exists())
    {
        let reason = "expected a new file or folder, found one that exists".into();
        return Err(Error::Run { path: taken.into(), reason });
    }
    if whole {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), |folder| std::fs::metadata(folder).map(drop).map_err(io(folder)))?;
    }
    let subject = Subject::new(run)?;
    let written = match format {
        ExportFormat::Timm => timm::write(&subject, out),
        ExportFormat::Peft => peft::write(&subject, out),
        ExportFormat::TorchScript => whole::torchscript(&subject, out),
        ExportFormat::Onnx => whole::onnx(&subject, out),
    };
    let checked = written.and_then(|report| {
        probe.map_or(Ok(()), |path| subject.save_probe(path))?;
        report.check()
    });
    checked.inspect_err(|_| {
        discard(out);
        beside.iter().for_each(|path| discard(path));
    })
}

impl<'a> Subject<'a> {
    fn new(run: &'a OpenRun) -> Result<Self> {
        if let Some(reason) = run.model.unmergeable() {
            return Err(Error::Unmergeable { path: run.folder.path().into(), reason });
        }
        let recipe = run.recipe_in_float32();
        let device = run.model.store.device();
        let tensors = match run.form {
            Form::Adapted => run.model.merged()?,
            Form::Merged => run.model.store.tensors().into_iter().collect(),
        };
        let model = Model::new(&recipe, &run.folder.specs()?, Form::Merged, device)?;
        model.store.load("merged model", &tensors, &LoadOptions::default())?;
        model.store.set_trainable(|_| false);
        let images = to_tensor(&merge::probe(run)?.images, device);
        if run.form == Form::Adapted {
            let trained = run.model_in_float32()?;
            let differences = merge::compare(&model, &trained, &images)?;
            differences.iter().try_for_each(|(key, difference)| check(*difference, key))?;
        }
        Ok(Self { run, recipe, model, images })
    }

    fn refused(&self, reason: impl Into<String>) -> Error {
        Error::Run { path: self.run.folder.path().into(), reason: reason.into() }
    }

    /// The one backbone of the model.
    fn trunk(&self) -> Result<&Trunk> {
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
    fn plain_tensors(&self) -> Result<(Tensors, Option<String>)> {
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
    fn compare_plain(
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

    fn save_probe(&self, path: &Path) -> Result<()> {
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

    fn report(
        &self,
        differences: BTreeMap<String, Difference>,
        files: Vec<PathBuf>,
    ) -> ExportReport {
        let probe_images = self.images.size()[0] as usize;
        ExportReport { differences, probe_images, files, notes: Vec::new() }
    }
}

impl ExportReport {
    fn check(self) -> Result<Self> {
        self.differences.iter().try_for_each(|(key, difference)| check(*difference, key))?;
        Ok(self)
    }
}

fn new_folder(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(io(out))
}

fn discard(out: &Path) {
    // The cause is on its way up; what cannot be removed adds nothing to it.
    let _ = if out.is_dir() { std::fs::remove_dir_all(out) } else { std::fs::remove_file(out) };
}
