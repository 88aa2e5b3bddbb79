//! The factors of a LoRA run as PEFT's adapter folder.

use std::path::Path;

use polyptych_adapters::{AdapterConfig, Bias, Form, load_peft, save_peft};
use polyptych_tensor::{Kind, Tensor, Tensors, file};

use super::{ExportReport, Subject, timm};
use crate::Result;

const BASE: &str = "base_model.safetensors";

/// Writes the adapter folder and, as `base_model.safetensors`, the weights that it stands beside,
/// which are timm's names and load into timm's model. A classifier is saved whole.
pub(super) fn write(subject: &Subject, out: &Path) -> Result<ExportReport> {
    let run = subject.run;
    let config = match &run.recipe.adapter {
        AdapterConfig::Lora(config) if config.bias == Bias::None => config,
        other => {
            let found = other.name();
            let reason = format!("expected `lora` with bias = \"none\", found `{found}`");
            return Err(subject.refused(reason));
        }
    };
    if run.form == Form::Folded {
        let reason = "expected a trained run, found a merged model, whose factors are gone";
        return Err(subject.refused(reason));
    }
    let (folded, classes) = timm::plain(subject)?;
    let head = timm::head_name(subject.model.backbone_config());
    let modules: &[&str] = if classes > 0 { &[head] } else { &[] };
    let mut base = trained(subject)?;
    for (name, tensor) in folded.tensors {
        base.entry(name).or_insert(tensor);
    }
    save_peft(out, config, &base, modules)?;
    let path = out.join(BASE);
    let plain = base.into_iter().filter(|(name, _)| !name.contains(".lora_"));
    timm::save(&path, &plain.map(|(name, t)| (name, t.to_kind(Kind::Float))).collect())?;
    let weights = load_peft(out)?.fold(&file::load(&path)?.tensors)?;
    let differences = subject.compare_plain(&weights, classes)?;
    let files = ["adapter_config.json", "adapter_model.safetensors", BASE];
    Ok(subject.report(differences, files.map(|name| out.join(name)).into()))
}

/// The run's backbone and factors under timm's and PEFT's names.
fn trained(subject: &Subject) -> Result<Tensors> {
    let prefix = format!("{}.", subject.plain_trunk()?.prefix());
    let tensors = subject.run.model.store.tensors().into_iter();
    let own =
        |(name, t): (String, Tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), t.detach()));
    Ok(tensors.filter_map(own).collect())
}
