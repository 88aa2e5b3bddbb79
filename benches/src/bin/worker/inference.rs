//! A forward pass of a merged model, for all of its tasks.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use polyptych_adapters::Form;
use polyptych_benches::Subject;
use polyptych_engine::{Error as EngineError, Model};
use polyptych_formats::{Onnx, ScriptConfig, Traced, file};
use polyptych_tensor::{
    Int8, Int8Weight, LinearForm, LoadOptions, Precision, QuantizedInput, Tensor, Tensors,
    manual_seed, no_grad,
};

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

/// `model.onnx` of what [`merge`] wrote, for runtimes of others: in float32, and in int8 with the
/// ranges of the images.
pub(crate) fn onnx(subject: &Subject, int8: bool, folder: &Path) -> Result<()> {
    let subject = Subject { precision: Precision::Fp32, ..*subject };
    let model = load(&subject, folder)?;
    if int8 {
        quantize(&model, &images(folder)?)?;
    }
    let names: Vec<String> = subject.specs().into_iter().map(|spec| spec.name).collect();
    let image = [3, subject.size, subject.size];
    let config = ScriptConfig { image, outputs: &names, extra: "{}" };
    let path = folder.join("model.onnx");
    let traced = Traced::new::<EngineError>(&path, &config, |x| model.forward(x, false))?;
    Ok(Onnx::save(&traced)?)
}

/// All linear maps of the backbone in int8, with the ranges of `images`.
fn quantize(model: &Model, images: &Tensor) -> Result<()> {
    let weights = model.store.tensors().into_iter();
    let linear = weights.filter_map(|(name, weight)| {
        Some((model.store.linear(name.strip_suffix(".weight")?)?, weight))
    });
    let linear: Vec<(LinearForm, Tensor)> = linear.collect();
    linear.iter().for_each(|(form, _)| form.observe());
    no_grad(|| model.forward(images, false))?;
    for (form, weight) in linear {
        let [least, most] = form.observed().context("every linear map has an input")?;
        let weight = Rc::new(Int8Weight::quantize(&weight));
        let input = QuantizedInput::between(least, most);
        form.set_int8(Some(Int8 { weight, input, per_token: true }));
    }
    Ok(())
}

impl Inference {
    /// Reads what [`merge`] writes in a process of its own: its memory would hide that of the passes.
    pub(crate) fn new(subject: Subject, int8: bool, folder: &Path) -> Result<Self> {
        let mut merging = Command::new(std::env::current_exe()?);
        merging.args(std::env::args_os().skip(1)).arg("--merge").stdin(Stdio::null());
        let status = merging.status()?;
        if !status.success() {
            bail!("merging failed: {status}");
        }
        let model = load(&subject, folder)?;
        let images = images(folder)?.to_device(subject.device);
        if int8 {
            quantize(&model, &images)?;
        }
        model.pack_linear_maps();
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

/// The images of a batch, as memory of their own.
fn images(folder: &Path) -> Result<Tensor> {
    Ok(file::load(&stored(folder, "images"))?.tensors["images"].copy())
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
