//! What a quantised model keeps beside its tensors.

use std::fmt;
use std::path::Path;

use polyptych_tensor::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::run::checkpoint::read_json;
use crate::{Error, Result};

/// The file of it in the folder of a quantised model.
pub(crate) const QUANTIZE: &str = "quantize.json";

/// By which range inputs of int8 maps become bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActivationRange {
    /// That of each token, as it comes.
    #[default]
    Dynamic,
    /// That of all inputs that calibration saw.
    Static,
}

/// The headline score of a task on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizedTask {
    /// The task.
    pub task: String,
    /// Name of its score.
    pub metric: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The score of the merged model.
    pub before: f64,
    /// That of the quantised one.
    pub after: f64,
    /// Relative change in percent, positive where the quantised model is better.
    pub percent: f64,
}

/// A linear map of the trunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizedLayer {
    /// Its name in the file.
    pub name: String,
    /// Whether it is of int8.
    pub int8: bool,
    /// How far the outputs of its int8 form are from its own on the calibration images, as a part
    /// of them: `|y - y'| / |y|`.
    pub error: f64,
}

/// What quantising did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizeReport {
    /// By which range inputs become bytes.
    pub activations: ActivationRange,
    /// The relative loss that a task may have at most, as a part of its score.
    pub max_drop: f64,
    /// Tasks with labels in the evaluation data.
    pub tasks: Vec<QuantizedTask>,
    /// Plain linear maps of the trunk, those with the largest errors first.
    pub layers: Vec<QuantizedLayer>,
    /// Calibration images.
    pub calibration_images: usize,
    /// Evaluations that the choice of layers took, that of the merged model among them.
    pub evaluations: usize,
    /// Bytes of the merged model's tensors.
    pub bytes_before: u64,
    /// Bytes of the quantised model's.
    pub bytes_after: u64,
}

impl QuantizeReport {
    /// The report of the quantised model in `path`, and that it can compute on `device`; nothing
    /// where the model there is another.
    ///
    /// # Errors
    /// A file that cannot be read, or another device than the CPU.
    pub(crate) fn of_folder(path: &Path, device: Device) -> Result<Option<Self>> {
        let file = path.join(QUANTIZE);
        if !file.exists() {
            return Ok(None);
        }
        refuse_device(path, device)?;
        read_json(&file).map(Some)
    }

    /// Layers that are of int8.
    pub fn int8_layers(&self) -> usize {
        self.layers.iter().filter(|layer| layer.int8).count()
    }
}

/// Refuses what does not compute in int8.
pub(crate) fn refuse_device(path: &Path, device: Device) -> Result<()> {
    if device == Device::Cpu {
        return Ok(());
    }
    let reason = format!(
        "expected the CPU, where quantised models compute, found {device:?}: set --device cpu"
    );
    Err(Error::Run { path: path.into(), reason })
}

/// Refuses to train from a quantised model.
pub(crate) fn refuse_training(path: &Path) -> Result<()> {
    if !path.join(QUANTIZE).exists() {
        return Ok(());
    }
    let reason = "expected weights that can learn, found a quantised model, whose weights are \
                  rounded to int8: name the merged model that it was made from";
    Err(Error::Weights { name: path.display().to_string(), reason: reason.into() })
}

impl fmt::Display for QuantizedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, metric, before, after, percent, .. } = self;
        write!(f, "{task}: {metric} {before:.4} before, {after:.4} after ({percent:+.2} %)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_devices_are_refused_by_name() {
        let path = Path::new("runs/small");
        assert!(refuse_device(path, Device::Cpu).is_ok());
        assert_eq!(
            refuse_device(path, Device::Cuda(0)).unwrap_err().to_string(),
            "runs/small: expected the CPU, where quantised models compute, found Cuda(0): set \
             --device cpu"
        );
    }
}
