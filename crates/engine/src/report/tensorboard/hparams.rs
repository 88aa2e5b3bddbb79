//! Hyper-parameters for TensorBoard's plugin of that name: the single values of the recipe, beside
//! the metrics that the run ends with.

use std::collections::HashMap;

use prost::Message;
use serde_json::Value;

use super::messages::{
    Hparam, HparamsData, Metadata, PluginData, SessionEnd, SessionStart, SummaryValue,
};

const PLUGIN: &str = "hparams";
/// Fields of a recipe that say nothing of how it learns.
const LEFT_OUT: [&str; 4] = ["name", "description", "baselines", "compare"];

/// A run begins.
pub(super) fn start(recipe: &Value, start_time_secs: f64) -> SummaryValue {
    let start = SessionStart { hparams: values(recipe), start_time_secs };
    let data = HparamsData { session_start_info: Some(start), session_end_info: None };
    plugin_value("_hparams_/session_start_info", PLUGIN, data.encode_to_vec())
}

/// A run is complete.
pub(super) fn end(end_time_secs: f64) -> SummaryValue {
    let end = SessionEnd { status: SessionEnd::SUCCESS, end_time_secs };
    let data = HparamsData { session_start_info: None, session_end_info: Some(end) };
    plugin_value("_hparams_/session_end_info", PLUGIN, data.encode_to_vec())
}

/// Single values by their paths, such as `train.optimiser.betas.0`.
fn values(recipe: &Value) -> HashMap<String, Hparam> {
    let mut found = HashMap::new();
    let fields = recipe.as_object().into_iter().flatten();
    for (key, value) in fields.filter(|(key, _)| !LEFT_OUT.contains(&key.as_str())) {
        walk(key, value, &mut found);
    }
    found
}

fn walk(path: &str, value: &Value, found: &mut HashMap<String, Hparam>) {
    let single = match value {
        Value::Null => return,
        Value::Object(fields) => {
            return fields.iter().for_each(|(key, v)| walk(&format!("{path}.{key}"), v, found));
        }
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            return numbered.for_each(|(index, v)| walk(&format!("{path}.{index}"), v, found));
        }
        Value::Number(number) => Hparam { number_value: number.as_f64(), ..Hparam::default() },
        Value::String(text) => Hparam { string_value: Some(text.clone()), ..Hparam::default() },
        Value::Bool(flag) => Hparam { bool_value: Some(*flag), ..Hparam::default() },
    };
    found.insert(path.to_owned(), single);
}

/// A value whose content a plugin reads.
fn plugin_value(tag: &str, plugin_name: &str, content: Vec<u8>) -> SummaryValue {
    let plugin_data = Some(PluginData { plugin_name: plugin_name.into(), content });
    let metadata = Some(Metadata { plugin_data });
    SummaryValue { tag: tag.into(), metadata, ..SummaryValue::default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn single_values_stand_under_their_paths() {
        let recipe = json!({"name": "x", "seed": 0, "adapter": {"method": "lora", "bias": false},
            "train": {"betas": [0.9, 0.5]}, "union": null});
        let found = values(&recipe);
        let mut keys: Vec<&str> = found.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            ["adapter.bias", "adapter.method", "seed", "train.betas.0", "train.betas.1"]
        );
        assert_eq!(found["seed"].number_value, Some(0.0));
        assert_eq!(found["adapter.bias"].bool_value, Some(false));
    }
}
