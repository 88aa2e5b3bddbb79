//! All tasks as one TorchScript file.

use std::path::Path;

use polyptych_tensor::{Device, Script, ScriptConfig, no_grad};
use serde_json::json;

use super::{ExportReport, Subject, worst};
use crate::{Error, Result};

/// Writes the whole model: `forward(image)` takes normalised images `[batch, 3, height, width]`
/// of the recipe's size and gives raw outputs by task.
pub(super) fn write(subject: &Subject, out: &Path) -> Result<ExportReport> {
    if subject.model.store.device() != Device::Cpu {
        return Err(subject.refused("expected the model on the CPU: set --device cpu"));
    }
    let names: Vec<String> =
        subject.model.tasks.iter().map(|task| task.spec.name.clone()).collect();
    let [height, width] = subject.recipe.data.img_size.map(|extent| extent as i64);
    let extra = extra(subject);
    let config = ScriptConfig { image: [3, height, width], outputs: &names, extra: &extra };
    Script::save::<Error>(out, &config, |images| subject.model.forward(images, false))?;
    let found = Script::open(out)?.forward(&subject.images)?;
    let ours = no_grad(|| subject.model.forward(&subject.images, false))?;
    let pairs = found.iter().zip(&ours);
    let differences = pairs.map(|((name, found), ours)| (name.clone(), worst(found, ours)));
    let mut report = subject.report(differences.collect(), vec![out.into()]);
    report.notes.push(format!(
        "forward(image: [batch, 3, {height}, {width}]) gives a dictionary of raw outputs by task; \
         mean, std and classes are in extra/polyptych.json"
    ));
    Ok(report)
}

/// What a caller needs beside the numbers.
fn extra(subject: &Subject) -> String {
    let data = &subject.recipe.data;
    let (mean, std) = super::timm::statistics(&subject.recipe);
    let tasks = subject.model.tasks.iter().map(|task| (task.spec.name.clone(), json!(task.spec)));
    let tasks: serde_json::Map<String, serde_json::Value> = tasks.collect();
    let content = json!({"img_size": data.img_size, "mean": mean, "std": std, "tasks": tasks});
    format!("{content:#}\n")
}
