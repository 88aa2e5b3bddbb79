//! What one step met: kept where a run ends because of its numbers, and made again by a replay.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyptych_data::Batch;
use polyptych_formats::file;
use polyptych_tensor::Tensor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::run::RECIPE;
use crate::run::checkpoint::read_json;
use crate::training::log::to_json;
use crate::{Error, Result};

/// One step, seen closely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDump {
    /// Steps done before it.
    pub step: u64,
    /// Index in the data set and name of every sample of the batch.
    pub samples: Vec<(usize, String)>,
    /// Loss of every task with a label in the batch, not weighted.
    pub losses: BTreeMap<String, Number>,
    /// Norm of the gradients of each head and of each part of the backbone.
    pub grad_norms: BTreeMap<String, Number>,
}

/// A number that may not be finite, which JSON has as text.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f64);

impl StepDump {
    pub(super) fn new(
        step: u64,
        batch: &Batch,
        losses: BTreeMap<String, Option<f64>>,
        params: &[(String, Tensor)],
    ) -> Self {
        let labelled = |(name, loss): (String, Option<f64>)| Some((name, Number(loss?)));
        Self {
            step,
            samples: batch.indices.iter().copied().zip(batch.names.clone()).collect(),
            losses: losses.into_iter().filter_map(labelled).collect(),
            grad_norms: grad_norms(params),
        }
    }

    /// The step that ended the run in `run`.
    ///
    /// # Errors
    /// A run that did not end so.
    pub fn open(run: &Path) -> Result<Self> {
        let path = folder(run).join(STEP);
        if run.join(RECIPE).exists() && !path.exists() {
            let reason = "expected a run that stopped at NaN or infinite values, found no dump/: \
                          there is no step to repeat";
            return Err(Error::Run { path: run.into(), reason: reason.into() });
        }
        read_json(&path)
    }

    pub(super) fn write(&self, run: &Path) -> Result<()> {
        Ok(file::write_aside(&folder(run).join(STEP), to_json(self).as_bytes())?)
    }

    /// Names of what differs in `other`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let values = |dump: &Self| -> BTreeMap<String, Number> {
            let named = |kind: &str, all: &BTreeMap<String, Number>| {
                let name = |(name, value): (&String, &Number)| (format!("{kind} {name}"), *value);
                all.iter().map(name).collect::<Vec<_>>()
            };
            let losses = named("loss", &dump.losses);
            losses.into_iter().chain(named("gradient", &dump.grad_norms)).collect()
        };
        let (own, others) = (values(self), values(other));
        let differs = |name: &&String| own.get(*name) != others.get(*name);
        let names: std::collections::BTreeSet<&String> = own.keys().chain(others.keys()).collect();
        let numbers = names.into_iter().filter(differs).cloned();
        let batch = (self.samples != other.samples).then(|| "samples".to_owned());
        batch.into_iter().chain(numbers).collect()
    }
}

/// Name of the file beside the dumped checkpoint.
const STEP: &str = "step.json";

/// Where the run in `run` keeps the state before the step that ended it.
pub(super) fn folder(run: &Path) -> PathBuf {
    run.join("dump")
}

fn grad_norms(params: &[(String, Tensor)]) -> BTreeMap<String, Number> {
    let mut squares: BTreeMap<String, f64> = BTreeMap::new();
    for (name, param) in params {
        let grad = param.grad();
        let norm = if grad.defined() { grad.norm().double_value(&[]) } else { 0.0 };
        *squares.entry(part_of(name)).or_default() += norm * norm;
    }
    squares.into_iter().map(|(part, square)| (part, Number(square.sqrt()))).collect()
}

/// `backbone.layers.0` of `backbone.layers.0.blocks.1.mlp.fc1.weight`, `heads.depth` of
/// `heads.depth.hidden.weight`.
fn part_of(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let numbered = parts.iter().position(|part| part.parse::<usize>().is_ok());
    let length = numbered.filter(|_| parts[0] != "heads").map_or(2, |at| at + 1);
    parts[..length.min(parts.len())].join(".")
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || (self.0.is_nan() && other.0.is_nan())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_finite() {
            true => serializer.serialize_f64(self.0),
            false => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Finite(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Finite(value) => Ok(Self(value)),
            Written::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump(loss: f64) -> StepDump {
        let one = |name: &str, value| BTreeMap::from([(name.to_owned(), Number(value))]);
        StepDump {
            step: 3,
            samples: vec![(7, "seven".into())],
            losses: one("depth", loss),
            grad_norms: one("heads.depth", 1.0),
        }
    }

    #[test]
    fn numbers_that_are_not_finite_come_back() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.25] {
            let text = to_json(&dump(value));
            assert_eq!(serde_json::from_str::<StepDump>(&text).unwrap(), dump(value), "{text}");
        }
        assert!(serde_json::from_str::<Number>("\"many\"").is_err());
    }

    #[test]
    fn differences_are_named() {
        assert!(dump(f64::NAN).differences(&dump(f64::NAN)).is_empty());
        let other = StepDump { samples: vec![], ..dump(2.0) };
        assert_eq!(dump(1.0).differences(&other), ["samples", "loss depth"]);
    }

    #[test]
    fn parameters_fall_into_parts() {
        for (name, part) in [
            ("backbone.layers.0.blocks.1.mlp.fc1.weight", "backbone.layers.0"),
            ("backbone.blocks.3.norm1.bias", "backbone.blocks.3"),
            ("backbone.patch_embed.proj.weight", "backbone.patch_embed"),
            ("heads.depth.fuse.0.weight", "heads.depth"),
            ("scale", "scale"),
        ] {
            assert_eq!(part_of(name), part);
        }
    }
}
