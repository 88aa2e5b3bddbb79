//! An adapter folder that is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polyptych_formats::{file, pth};
use polyptych_tensor::Tensors;

use crate::error::{Error, Result};
use crate::peft::config::PeftConfig;
use crate::peft::names;

/// File of the options.
pub(super) const CONFIG: &str = "adapter_config.json";
/// File of the tensors.
pub(super) const MODEL: &str = "adapter_model.safetensors";
/// The same of older adapters.
const PICKLED_MODEL: &str = "adapter_model.bin";

/// What an adapter folder holds.
#[derive(Debug)]
pub struct PeftAdapter {
    pub(super) path: PathBuf,
    /// Its options.
    pub config: PeftConfig,
    /// Factors, and what the adapter saves whole, by name and without PEFT's prefixes.
    pub tensors: Tensors,
    /// Modules that have factors, with their names in the adapter's own words.
    pub(super) modules: BTreeMap<String, String>,
}

/// Reads the folder `dir`.
///
/// # Errors
/// A file that is absent or broken, a method other than LoRA, several adapters in one file, or an
/// option that would change the numbers and is not supported.
pub fn load_peft(dir: &Path) -> Result<PeftAdapter> {
    let path = dir.join(CONFIG);
    let text = std::fs::read(&path).map_err(|source| absent(dir, &path, source))?;
    let config = PeftConfig::parse(&path, &text)?;
    let (model, tensors) = read_model(dir)?;
    let tensors =
        names::plain(tensors).map_err(|reason| Error::PeftConfig { path: model, reason })?;
    Ok(PeftAdapter::new(path, config, tensors))
}

impl PeftAdapter {
    /// The adapter of `tensors` under plain names, with options from the file `path`.
    pub(super) fn new(path: PathBuf, config: PeftConfig, tensors: Tensors) -> Self {
        let modules = names::modules(&tensors).into_iter();
        let modules = modules.map(|name| (name.clone(), name)).collect();
        Self { path, config, tensors, modules }
    }
}

fn read_model(dir: &Path) -> Result<(PathBuf, Tensors)> {
    let (model, pickled) = (dir.join(MODEL), dir.join(PICKLED_MODEL));
    match !model.exists() && pickled.exists() {
        true => Ok((pickled.clone(), pth::load(&pickled)?)),
        false => Ok((model.clone(), file::load(&model)?.tensors)),
    }
}

/// PEFT writes adapters of other names than `default` into a folder of their name.
fn absent(dir: &Path, path: &Path, source: std::io::Error) -> Error {
    let below = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    match below.filter(|below| below.join(CONFIG).exists()).min() {
        Some(below) => Error::PeftConfig {
            path: path.into(),
            reason: format!("no such file; an adapter is in {}", below.display()),
        },
        None => Error::Io { path: path.into(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(config: Value) -> String {
        let parsed = PeftConfig::parse(Path::new("c"), config.to_string().as_bytes());
        parsed.unwrap_err().to_string()
    }

    fn with(more: Value) -> Value {
        let mut config = json!({"peft_type": "LORA", "target_modules": ["qkv"]});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    }

    #[test]
    fn options_that_are_set_and_not_known_are_refused_by_name() {
        assert_eq!(
            refused(json!({"peft_type": "IA3"})),
            "c: peft_type: expected \"LORA\", found \"IA3\""
        );
        for (key, value) in [
            ("layer_replication", json!([[0, 4], [2, 5]])),
            ("use_qalora", json!(true)),
            ("target_parameters", json!(["experts.w"])),
            ("trainable_token_indices", json!([1])),
            ("alora_invocation_tokens", json!([3])),
            ("arrow_config", json!({"top_k": 2})),
            ("megatron_config", json!({"a": 1})),
            ("of_a_later_version", json!(2)),
        ] {
            let message = refused(with(json!({key: value})));
            assert!(message.starts_with(&format!("c: {key}: expected it unset")), "{message}");
        }
        for name in ["corda", "loftq", "lora_ga", "pissa_niter_4", "of_a_later_version"] {
            let message = refused(with(json!({"init_lora_weights": name})));
            assert!(message.starts_with(&format!("c: init_lora_weights: {name:?}: ")), "{message}");
        }
        for (value, key) in [
            (json!({"r": null}), "r"),
            (json!({"lora_alpha": "8"}), "lora_alpha"),
            (json!({"rank_pattern": {"qkv": 0.5}}), "rank_pattern.qkv"),
        ] {
            let message = refused(with(value));
            assert!(message.starts_with(&format!("c: {key}: invalid type: ")), "{message}");
        }
        let unset = json!({"of_a_later_version": null, "layer_replication": null, "use_qalora": false,
                           "runtime_config": {"ephemeral_gpu_offload": true}, "peft_version": "9"});
        assert!(PeftConfig::parse(Path::new("c"), with(unset).to_string().as_bytes()).is_ok());
    }

    #[test]
    fn patterns_are_pythons_and_the_first_counts() {
        let text = r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": null,
            "rank_pattern": {"blocks.1.attn.qkv": 2, "qkv": 4, "^blocks.2.mlp.fc1": 1},
            "alpha_pattern": {"(?!attn\\.).*fc\\d": 3}}"#;
        let config = PeftConfig::parse(Path::new("c"), text.as_bytes()).unwrap();
        let rank = |module: &str| config.rank(module).unwrap();
        assert_eq!([rank("blocks.1.attn.qkv"), rank("blocks.11.attn.qkv")], [2, 4]);
        assert_eq!([rank("net.blocks.1.attn.qkv"), rank("blocks.1.attn.qkv2")], [2, 8]);
        assert_eq!([rank("blocks.2.mlp.fc1"), rank("net.blocks.2.mlp.fc1")], [1, 8]);
        assert_eq!(config.scaling("blocks.0.mlp.fc2").unwrap(), 3.0 / 8.0);
        let message = refused(with(json!({"rank_pattern": {"(qkv": 2}})));
        assert!(message.contains("rank_pattern: expected a regular expression"), "{message}");
    }

    #[test]
    fn layers_and_exclusions_are_pefts() {
        let adapts = |more: Value, module: &str| {
            let config = with(more).to_string();
            PeftConfig::parse(Path::new("c"), config.as_bytes()).unwrap().adapts(module).unwrap()
        };
        let layers = json!({"layers_to_transform": [0, 2]});
        assert!(adapts(layers.clone(), "net.blocks.2.attn.qkv"));
        assert!(!adapts(layers.clone(), "net.blocks.1.attn.qkv"));
        // Without a pattern the number must stand behind the second part of a name or a later one.
        assert!(!adapts(layers, "blocks.2.attn.qkv"));
        let named = json!({"layers_to_transform": 2, "layers_pattern": "blocks"});
        assert!(adapts(named.clone(), "blocks.2.attn.qkv"));
        assert!(!adapts(named, "blocks.3.attn.qkv"));
        let without = json!({"exclude_modules": ["blocks.0.attn.qkv"]});
        assert!(
            !adapts(without.clone(), "blocks.0.attn.qkv") && adapts(without, "blocks.1.attn.qkv")
        );
        assert!(!adapts(json!({"exclude_modules": r".*\.0\..*"}), "blocks.0.attn.qkv"));
        assert!(!adapts(json!({"modules_to_save": ["attn"]}), "blocks.0.attn.qkv"));
        assert!(adapts(
            json!({"target_modules": r"blocks\.\d\.attn\.(qkv|proj)"}),
            "blocks.0.attn.proj"
        ));
    }
}
