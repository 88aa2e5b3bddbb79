//! Which keys of `adapter_config.json` are known, and which of them merging may pass over.
//!
//! The keys are those of `LoraConfig` in PEFT 0.21. A key that is neither read, nor known to change
//! no number, nor unset is refused by its name, so that an option of a later PEFT is never lost.

use serde_json::{Map, Value};

/// Keys that the reader of the file follows.
const READ: [&str; 15] = [
    "peft_type",
    "r",
    "lora_alpha",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "use_dora",
    "lora_bias",
    "bias",
    "modules_to_save",
    "init_lora_weights",
];

/// Keys that change no number of a merged vision transformer, whatever they are set to.
const HARMLESS: [&str; 15] = [
    "task_type",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "peft_version",
    // Of training alone.
    "lora_dropout",
    // Where computing takes place.
    "runtime_config",
    // PEFT takes it back where the layer is `torch.nn.Linear` or a convolution.
    "fan_in_fan_out",
    // Read by PEFT beside a value of `init_lora_weights`, which is checked on its own.
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    // Read by PEFT beside another key, which is refused.
    "megatron_core",
    "qalora_group_size",
];

/// Checks every key.
///
/// # Errors
/// A method other than LoRA, or the first key that is set and neither read nor harmless.
pub(super) fn check_options(keys: &Map<String, Value>) -> Result<(), String> {
    let kind = keys.get("peft_type").and_then(Value::as_str);
    if kind != Some("LORA") {
        return Err(format!("peft_type: expected \"LORA\", found {:?}", kind.unwrap_or("nothing")));
    }
    let known = |key: &str| READ.contains(&key) || HARMLESS.contains(&key);
    match keys.iter().find(|(key, value)| !known(key) && !is_unset(value)) {
        None => Ok(()),
        Some((key, value)) => Err(format!(
            "{key}: expected it unset, found {value}: merging does not know what it changes"
        )),
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
