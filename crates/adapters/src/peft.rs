//! PEFT's adapter folder: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Keys on disk are `base_model.model.<module>.lora_A.weight`, as PEFT writes them. Options that
//! would change the numbers and are not supported are refused; other unknown keys are listed.
//! DoRA is LoRA with `use_dora` there.

mod fold;

use std::collections::HashMap;
use std::path::Path;

use polyptych_tensor::{Tensors, file};
use serde_json::{Map, Value, json};

use crate::{AdapterConfig, Bias, DoraConfig, Error, LoraConfig, Result, TargetModules};

const CONFIG: &str = "adapter_config.json";
const MODEL: &str = "adapter_model.safetensors";
const PREFIX: &str = "base_model.model.";

/// What an adapter folder holds.
#[derive(Debug)]
pub struct PeftAdapter {
    /// LoRA or DoRA, with the fields that we know.
    pub config: AdapterConfig,
    /// Factors, and what the adapter saves whole, by name and without PEFT's prefixes.
    pub tensors: Tensors,
    /// Keys of `adapter_config.json` that were not read.
    pub unknown_keys: Vec<String>,
}

/// Keys that change no number, or that are checked by [`refuse`].
const KNOWN: [&str; 8] = [
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "bias",
    "peft_type",
    "use_dora",
    "modules_to_save",
];
/// Where PEFT keeps what a layer had before its adapter.
const BASE_LAYER: &str = ".base_layer.";

/// Reads the folder `dir`.
///
/// # Errors
/// A file that is absent or broken, a method other than LoRA, or an option that would change the
/// numbers and is not supported (`use_rslora`, `rank_pattern`, `alpha_pattern`, `fan_in_fan_out`,
/// `layers_to_transform`, `exclude_modules`, `lora_bias`, `target_parameters`).
pub fn load_peft(dir: &Path) -> Result<PeftAdapter> {
    let path = dir.join(CONFIG);
    let text = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let (config, unknown_keys) = parse_peft_config(&path, &text)?;
    let tensors = file::load(&dir.join(MODEL))?.tensors;
    let short = |name: String| name.strip_prefix(PREFIX).unwrap_or(&name).replace(BASE_LAYER, ".");
    let tensors = tensors.into_iter().map(|(name, tensor)| (short(name), tensor)).collect();
    Ok(PeftAdapter { config, tensors, unknown_keys })
}

/// Reads the bytes of an `adapter_config.json`: the adapter, and the keys that were not read.
/// Errors name `path`.
///
/// # Errors
/// As [`load_peft`]'s for this file.
pub fn parse_peft_config(path: &Path, text: &[u8]) -> Result<(AdapterConfig, Vec<String>)> {
    let wrong = |reason: String| Error::PeftConfig { path: path.into(), reason };
    let fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
    refuse(&fields).map_err(wrong)?;
    let known = fields.iter().filter(|(key, _)| KNOWN[..5].contains(&key.as_str()));
    let known = known.map(|(key, value)| (key.clone(), value.clone())).collect();
    let config: LoraConfig =
        serde_json::from_value(Value::Object(known)).map_err(|e| wrong(e.to_string()))?;
    config.validate()?;
    let read = |key: &&String| !KNOWN.contains(&key.as_str());
    let unknown_keys = fields.keys().filter(read).cloned().collect();
    let config = match fields.get("use_dora").and_then(Value::as_bool) {
        Some(true) => AdapterConfig::Dora(DoraConfig(config)),
        _ => AdapterConfig::Lora(config),
    };
    Ok((config, unknown_keys))
}

/// Writes `config` and the factors among `tensors` (names within the backbone) into `dir`, beside
/// them the tensors of `modules_to_save` as they are.
///
/// `target_modules` become the names of all modules that have factors: an end such as `proj` would
/// be that of other layers too once PEFT looks for it.
///
/// # Errors
/// Factors at parts of a fused `qkv`, which PEFT cannot place; a folder that cannot be written.
pub fn save_peft(
    dir: &Path,
    config: &LoraConfig,
    tensors: &Tensors,
    modules_to_save: &[&str],
) -> Result<()> {
    let is_whole = |name: &str| {
        let below =
            |module: &&str| name.strip_prefix(*module).is_some_and(|rest| rest.starts_with('.'));
        modules_to_save.iter().any(below)
    };
    let factors: Tensors = tensors
        .iter()
        .filter(|(name, _)| name.contains(".lora_") || is_whole(name))
        .map(|(name, tensor)| Ok((format!("{PREFIX}{}", whole(name)?), tensor.shallow_clone())))
        .collect::<Result<_>>()?;
    let io = |source| Error::Io { path: dir.into(), source };
    std::fs::create_dir_all(dir).map_err(io)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    file::save(&dir.join(MODEL), &factors, metadata)?;
    let target_modules = TargetModules::Names(adapted(tensors));
    let resolved = LoraConfig { target_modules, ..config.clone() };
    let text = format!("{:#}\n", config_json(&resolved, modules_to_save));
    Ok(file::write_aside(&dir.join(CONFIG), text.as_bytes())?)
}

fn refuse(fields: &Map<String, Value>) -> Result<(), String> {
    let kind = fields.get("peft_type").and_then(Value::as_str);
    if kind != Some("LORA") {
        return Err(format!("peft_type: expected \"LORA\", found {:?}", kind.unwrap_or("nothing")));
    }
    let changes = [
        "use_rslora",
        "rank_pattern",
        "alpha_pattern",
        "fan_in_fan_out",
        "layers_to_transform",
        "exclude_modules",
        "lora_bias",
        "target_parameters",
    ];
    let set = |key: &&str| fields.get(*key).is_some_and(|value| !is_unset(value));
    match changes.into_iter().find(set) {
        Some(key) => Err(format!("{key}: expected it unset, found {}", fields[key])),
        None => Ok(()),
    }
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn whole(name: &str) -> Result<&str> {
    match ["q", "k", "v"].iter().find(|part| name.contains(&format!(".qkv.{part}.lora_"))) {
        None => Ok(name),
        Some(part) => Err(Error::NotInPeft {
            name: name.into(),
            reason: format!("PEFT has no place for factors at part `{part}` of a fused `qkv`"),
        }),
    }
}

/// Modules that have factors.
fn adapted(tensors: &Tensors) -> Vec<String> {
    let modules = tensors.keys().filter_map(|name| name.strip_suffix(".lora_A.weight"));
    modules.map(str::to_owned).collect()
}

fn config_json(config: &LoraConfig, modules_to_save: &[&str]) -> Value {
    let target_modules = match &config.target_modules {
        TargetModules::Pattern(pattern) => json!(pattern),
        TargetModules::Names(names) => json!(names),
    };
    let bias = match config.bias {
        Bias::None => "none",
        Bias::All => "all",
        Bias::LoraOnly => "lora_only",
    };
    json!({
        "peft_type": "LORA",
        "task_type": null,
        "base_model_name_or_path": null,
        "inference_mode": true,
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": target_modules,
        "bias": bias,
        "fan_in_fan_out": false,
        "modules_to_save": (!modules_to_save.is_empty()).then_some(modules_to_save),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind, Tensor};

    fn config() -> LoraConfig {
        serde_json::from_value(json!({"r": 2, "target_modules": ["qkv"]})).unwrap()
    }

    fn factor() -> Tensor {
        Tensor::ones([2, 3], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn a_folder_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let name = "blocks.0.attn.qkv.lora_A.weight".to_owned();
        let weight = "blocks.0.attn.qkv.weight".to_owned();
        let tensors = Tensors::from([(name.clone(), factor()), (weight, factor())]);
        save_peft(dir.path(), &config(), &tensors, &[]).unwrap();
        let back = load_peft(dir.path()).unwrap();
        let targets = TargetModules::Names(vec!["blocks.0.attn.qkv".into()]);
        let written = LoraConfig { target_modules: targets, ..config() };
        assert_eq!(back.config, AdapterConfig::Lora(written));
        assert_eq!(back.tensors.keys().collect::<Vec<_>>(), [&name]);
        assert_eq!(
            back.unknown_keys,
            ["task_type", "base_model_name_or_path", "inference_mode", "fan_in_fan_out"]
        );
        let on_disk = file::load(&dir.path().join(MODEL)).unwrap().tensors;
        assert!(on_disk.contains_key(&format!("base_model.model.{name}")));
    }

    #[test]
    fn options_that_change_numbers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let write = |value: Value| {
            std::fs::write(dir.path().join(CONFIG), value.to_string()).unwrap();
            let message = load_peft(dir.path()).unwrap_err().to_string();
            message.rsplit_once(".json: ").unwrap().1.to_owned()
        };
        let scaled = json!({"peft_type": "LORA", "use_rslora": true, "target_modules": ["qkv"]});
        assert_eq!(write(scaled), "use_rslora: expected it unset, found true");
        let other = json!({"peft_type": "IA3"});
        assert_eq!(write(other), "peft_type: expected \"LORA\", found \"IA3\"");
    }

    #[test]
    fn parts_of_a_fused_matrix_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tensors = Tensors::from([("blocks.0.attn.qkv.q.lora_A.weight".to_owned(), factor())]);
        let message = save_peft(dir.path(), &config(), &tensors, &[]).unwrap_err().to_string();
        assert!(message.ends_with("at part `q` of a fused `qkv`"), "{message}");
    }
}
