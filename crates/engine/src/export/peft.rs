//! What a run trained as PEFT's adapter folder.

use std::path::Path;

use polyptych_adapters::{Form, PeftFactors, load_peft, save_peft};
use polyptych_formats::file;
use polyptych_tensor::{Tensor, Tensors};

use super::subject::{ExportReport, Subject};
use super::timm;
use crate::{Model, Result};

const BASE: &str = "base_model.safetensors";

/// Writes the adapter folder and, as `base_model.safetensors`, the weights that it stands beside,
/// which are timm's names and load into timm's model. A classifier is saved whole.
pub(super) fn write(subject: &Subject, out: &Path) -> Result<ExportReport> {
    let run = subject.run;
    if run.form == Form::Merged {
        let reason = "expected a trained run, found a merged model, whose factors are gone";
        return Err(subject.refused(reason));
    }
    let adapter = factors(subject)?;
    let (plain, classes) = timm::plain(subject)?;
    let head = subject.model.backbone_config().classifier();
    let modules: &[&str] = if classes > 0 { &[head] } else { &[] };
    let mut base: Tensors = copy(&adapter.base);
    for (name, tensor) in plain.tensors {
        base.entry(name).or_insert(tensor);
    }
    save_peft(out, &adapter, &base, modules)?;
    let path = out.join(BASE);
    timm::save(&path, &base)?;
    let weights = load_peft(out)?.merge(&file::load(&path)?.tensors)?;
    let differences = subject.compare_plain(&weights, classes)?;
    let files = ["adapter_config.json", "adapter_model.safetensors", BASE];
    let mut report = subject.report(differences, files.map(|name| out.join(name)).into());
    report.notes.extend(plain.notes);
    Ok(report)
}

/// The run's backbone and factors under timm's and PEFT's names, in float32.
fn factors(subject: &Subject) -> Result<PeftFactors> {
    let trained: Model = subject.run.model_in_float32()?;
    let prefix = format!("{}.", subject.trunk()?.prefix());
    let own =
        |(name, t): (String, Tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), t.detach()));
    let tensors = trained.store.tensors().into_iter().filter_map(own).collect();
    Ok(subject.recipe.adapter.to_peft(&tensors)?)
}

fn copy(tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
}
