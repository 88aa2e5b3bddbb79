//! `adapter_config.json`: which of PEFT's options an adapter has, and what they make of a module.

use std::path::Path;

use fancy_regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::options::check_options;
use super::pattern::{Layers, Names, Patterns, is_match, pattern};
use crate::error::{Error, Result};

/// PEFT's `LoraConfig`, as far as it says what merging makes of an adapter.
#[derive(Debug)]
pub struct PeftConfig {
    fields: Fields,
    rank_pattern: Vec<(Regex, i64)>,
    alpha_pattern: Vec<(Regex, f64)>,
    init: InitLoraWeights,
}

/// What making the adapter did to the weight that it adapts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InitLoraWeights {
    /// Nothing.
    Unchanged,
    /// The largest singular values and their vectors are the adapter's first factors, and are
    /// taken out of the weight (PiSSA).
    Pissa,
    /// The same with the first columns of the weight's QR decomposition (OLoRA).
    Olora,
}

#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(default = "eight")]
    r: i64,
    #[serde(default = "eight_whole")]
    lora_alpha: f64,
    use_rslora: Option<bool>,
    use_dora: Option<bool>,
    lora_bias: Option<bool>,
    init_lora_weights: Option<Value>,
    target_modules: Option<Names>,
    exclude_modules: Option<Names>,
    layers_to_transform: Option<Layers>,
    layers_pattern: Option<Names>,
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    rank_pattern: Option<Patterns<i64>>,
    #[serde(default)]
    alpha_pattern: Option<Patterns<f64>>,
}

fn eight() -> i64 {
    8
}

fn eight_whole() -> f64 {
    8.0
}

impl PeftConfig {
    /// Reads the bytes of an `adapter_config.json`; errors name `path`.
    ///
    /// # Errors
    /// A method other than LoRA; an option that changes what the adapter computes and is not
    /// supported, or that is not known and set; a pattern that is no regular expression.
    pub fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        let wrong = |reason: String| Error::PeftConfig { path: path.into(), reason };
        let keys: Map<String, Value> =
            serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        check_options(&keys).map_err(wrong)?;
        let mut json = serde_json::Deserializer::from_slice(text);
        let fields: Fields = serde_path_to_error::deserialize(&mut json)
            .map_err(|e| wrong(format!("{}: {}", e.path(), e.inner())))?;
        Self::of(fields).map_err(wrong)
    }

    fn of(mut fields: Fields) -> Result<Self, String> {
        if fields.r < 1 {
            return Err(format!("r: expected at least 1, found {}", fields.r));
        }
        let init = init_lora_weights(fields.init_lora_weights.as_ref())?;
        let rank_pattern = Patterns::compile(fields.rank_pattern.take(), "rank_pattern")?;
        let alpha_pattern = Patterns::compile(fields.alpha_pattern.take(), "alpha_pattern")?;
        if let Some((_, r)) = rank_pattern.iter().find(|(_, r)| *r < 1) {
            return Err(format!("rank_pattern: expected ranks of at least 1, found {r}"));
        }
        let config = Self { fields, rank_pattern, alpha_pattern, init };
        // Every pattern is compiled once here, so that a wrong one is named before any module is.
        config.adapts("")?;
        Ok(config)
    }

    /// Whether each weight's rows keep their length apart from their direction (DoRA).
    pub fn use_dora(&self) -> bool {
        self.fields.use_dora == Some(true)
    }

    /// Whether the second factor has a bias.
    pub(super) fn lora_bias(&self) -> bool {
        self.fields.lora_bias == Some(true)
    }

    pub(super) fn init(&self) -> InitLoraWeights {
        self.init
    }

    /// The rank of the factors at `module`: that of the first key of `rank_pattern` which is a
    /// regular expression for the end of its name behind a dot, or for all of it; else `r`.
    ///
    /// # Errors
    /// A pattern that takes too long to compare.
    pub(super) fn rank(&self, module: &str) -> Result<i64, String> {
        Ok(first(&self.rank_pattern, module)?.unwrap_or(self.fields.r))
    }

    /// What the product of the factors at `module` is multiplied by: `lora_alpha / r`, or
    /// `lora_alpha / sqrt(r)` with `use_rslora`; `alpha_pattern` is read as `rank_pattern` is.
    ///
    /// # Errors
    /// As [`PeftConfig::rank`].
    pub(super) fn scaling(&self, module: &str) -> Result<f64, String> {
        let r = self.rank(module)? as f64;
        let alpha = first(&self.alpha_pattern, module)?.unwrap_or(self.fields.lora_alpha);
        Ok(match self.fields.use_rslora {
            Some(true) => alpha / r.sqrt(),
            _ => alpha / r,
        })
    }

    /// Whether PEFT gives `module` factors, by `target_modules`, `exclude_modules`,
    /// `modules_to_save`, `layers_to_transform` and `layers_pattern`.
    ///
    /// # Errors
    /// A pattern that is no regular expression.
    pub(super) fn adapts(&self, module: &str) -> Result<bool, String> {
        let fields = &self.fields;
        if let Some(excluded) = &fields.exclude_modules
            && excluded.has("exclude_modules", module)?
        {
            return Ok(false);
        }
        for saved in fields.modules_to_save.iter().flatten() {
            let text = format!(r"^(^|.*\.){saved}($|\..*)");
            if is_match(&pattern("modules_to_save", &text)?, module)? {
                return Ok(false);
            }
        }
        let Some(targets) = &fields.target_modules else { return Ok(true) };
        Ok(match targets {
            Names::Many(names) if !names.iter().any(|name| name == module) => {
                targets.has("target_modules", module)? && self.in_layers(module)?
            }
            _ => targets.has("target_modules", module)?,
        })
    }

    fn in_layers(&self, module: &str) -> Result<bool, String> {
        match &self.fields.layers_to_transform {
            Some(layers) if !layers.is_empty() => {
                layers.hold(module, self.fields.layers_pattern.as_ref())
            }
            _ => Ok(true),
        }
    }
}

fn first<T: Copy>(patterns: &[(Regex, T)], module: &str) -> Result<Option<T>, String> {
    for (regex, value) in patterns {
        if is_match(regex, module)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn init_lora_weights(value: Option<&Value>) -> Result<InitLoraWeights, String> {
    let name = match value {
        None | Some(Value::Null | Value::Bool(_)) => return Ok(InitLoraWeights::Unchanged),
        Some(Value::String(name)) => name.as_str(),
        Some(other) => return Err(format!("init_lora_weights: expected a name, found {other}")),
    };
    if name.eq_ignore_ascii_case("olora") {
        return Ok(InitLoraWeights::Olora);
    }
    if ["gaussian", "mica"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Ok(InitLoraWeights::Unchanged);
    }
    match name {
        "eva" | "orthogonal" => Ok(InitLoraWeights::Unchanged),
        "pissa" => Ok(InitLoraWeights::Pissa),
        other => Err(changed(other)),
    }
}

/// Why an adapter is refused whose weights were made in a way that nobody can repeat.
fn changed(name: &str) -> String {
    let why = if name.starts_with("pissa_niter_") {
        "PEFT draws random numbers to make the base weights"
    } else if ["corda", "loftq", "lora_ga"].iter().any(|known| name.starts_with(known)) {
        "the base weights were changed by data or rounding that the folder does not hold"
    } else {
        "what it makes of the base weights is not known"
    };
    format!(
        "init_lora_weights: {name:?}: {why}; save the adapter with PEFT's \
         save_pretrained(.., path_initial_model_for_weight_conversion=..), or merge it with PEFT \
         and convert what that writes"
    )
}
