//! LoRA: `y = W x + b + (alpha / r) B A dropout(x)` (Hu et al. 2022, eq. 3), in PEFT's words.
//!
//! A fused `qkv` can be adapted whole, or in its parts `q`, `k` and `v`, each with its own factors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use polyptych_tensor::{
    Activations, Kind, Linear, Plain, Plan, Projection, Scope, Site, SiteKind, Tensor, Tensors,
    dropout,
};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config};
use crate::low_rank::{LowRank, LowRankInit};
use crate::method::Form;

/// Which biases train beside the factors, as in PEFT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// None of them.
    #[default]
    None,
    /// All of the backbone.
    All,
    /// Those of the adapted projections.
    LoraOnly,
}

/// Which projections carry factors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// A regular expression that the whole name must match; `all-linear` is every projection.
    Pattern(String),
    /// Names, or their ends after a dot: `qkv`, `attn.proj`, `blocks.3.mlp.fc1`.
    /// `q`, `k` and `v` stand for the parts of a fused `qkv`.
    Names(Vec<String>),
}

impl fmt::Display for TargetModules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetModules::Pattern(pattern) => f.write_str(pattern),
            TargetModules::Names(names) => f.write_str(&names.join(", ")),
        }
    }
}

/// Configuration of LoRA; the fields and defaults are PEFT's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the factors.
    #[serde(default = "default_r")]
    pub r: i64,
    /// Numerator of the scale `lora_alpha / r`.
    #[serde(default = "default_alpha")]
    pub lora_alpha: f64,
    /// Probability with which an input of the factors is set to zero in training.
    #[serde(default)]
    pub lora_dropout: f64,
    /// Which projections carry factors.
    pub target_modules: TargetModules,
    /// Which biases train.
    #[serde(default)]
    pub bias: Bias,
}

fn default_r() -> i64 {
    8
}

fn default_alpha() -> f64 {
    8.0
}

impl LoraConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.r < 1 {
            return Err(config("r", "at least 1", self.r));
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return Err(config("lora_dropout", "at least 0 and below 1", self.lora_dropout));
        }
        match &self.target_modules {
            TargetModules::Names(names) if names.is_empty() => {
                Err(config("target_modules", "at least one name", "an empty list"))
            }
            TargetModules::Pattern(pattern) => regex(pattern).map(|_| ()),
            TargetModules::Names(_) => Ok(()),
        }
    }

    /// The scale of the low-rank term.
    pub fn scaling(&self) -> f64 {
        self.lora_alpha / self.r as f64
    }
}

/// LoRA as a plan. See [`LoraConfig`].
#[derive(Debug)]
pub struct Lora {
    config: LoraConfig,
    form: Form,
    init: LowRankInit,
    pattern: Option<Regex>,
    /// Adapted modules, with the rows of `weight` that each pair of factors changes.
    built: RefCell<BTreeMap<String, Vec<Part>>>,
}

/// Rows `start .. start + len` of a weight; `name` is `q`, `k`, `v` or empty for all rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) start: i64,
    pub(crate) len: i64,
}

impl Part {
    /// Where the factors of the part lie, for the weight at `path`.
    pub(crate) fn prefix(&self, path: &str) -> String {
        if self.name.is_empty() { path.to_owned() } else { format!("{path}.{}", self.name) }
    }

    /// `y` with `delta` added to the part's entries of the last axis.
    pub(crate) fn add(&self, y: Tensor, delta: Tensor) -> Tensor {
        let width = y.size()[y.dim() - 1];
        if self.len == width {
            return y + delta;
        }
        y + delta.constant_pad_nd([self.start, width - self.start - self.len])
    }
}

impl Lora {
    /// Checks `config` and makes the plan.
    ///
    /// # Errors
    /// As [`LoraConfig::validate`].
    pub fn new(config: LoraConfig, form: Form) -> Result<Self> {
        Self::with_init(config, form, LowRankInit::Identity)
    }

    /// As [`Lora::new`], with other initial values.
    pub(crate) fn with_init(config: LoraConfig, form: Form, init: LowRankInit) -> Result<Self> {
        config.validate()?;
        let pattern = match &config.target_modules {
            TargetModules::Pattern(pattern) if pattern != "all-linear" => Some(regex(pattern)?),
            _ => None,
        };
        Ok(Self { config, form, init, pattern, built: RefCell::default() })
    }

    /// Notes that factors stand at `parts` of `site`.
    pub(crate) fn note(&self, site: &Site, parts: Vec<Part>) {
        self.built.borrow_mut().insert(site.path.clone(), parts);
    }

    /// Notes what is adapted at `site`, whose parameters are known already.
    pub(crate) fn attach(&self, site: &Site) -> Vec<Part> {
        let parts = self.parts(site);
        if !parts.is_empty() {
            self.note(site, parts.clone());
        }
        parts
    }

    /// What the configuration adapts at `site`.
    pub(crate) fn parts(&self, site: &Site) -> Vec<Part> {
        let rows = site.out_features;
        if self.targets(&site.path) {
            return vec![Part { name: "", start: 0, len: rows }];
        }
        if site.kind != SiteKind::Qkv {
            return Vec::new();
        }
        let third = rows / 3;
        let parts = ["q", "k", "v"].into_iter().enumerate();
        let parts = parts.map(|(i, name)| Part { name, start: i as i64 * third, len: third });
        let parent = site.path.trim_end_matches("qkv");
        parts.filter(|part| self.targets(&format!("{parent}{}", part.name))).collect()
    }

    fn targets(&self, path: &str) -> bool {
        match (&self.config.target_modules, &self.pattern) {
            (TargetModules::Names(names), _) => names.iter().any(|name| is_end(path, name)),
            (TargetModules::Pattern(_), None) => true,
            (TargetModules::Pattern(_), Some(pattern)) => pattern.is_match(path),
        }
    }
}

impl Plan for Lora {
    fn projection(
        &self,
        scope: &Scope,
        site: &Site,
    ) -> polyptych_tensor::Result<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let parts = self.parts(site);
        if parts.is_empty() || self.form == Form::Folded {
            return Ok(Box::new(Plain(base)));
        }
        let factors = |part: &Part| {
            let scope = if part.name.is_empty() { scope.clone() } else { scope.pp(part.name) };
            let shape = [site.in_features, part.len, self.config.r];
            LowRank::new(&scope, ("lora_A.weight", "lora_B.weight"), shape, self.init)
        };
        let made = parts.iter().map(|part| Ok((*part, factors(part)?)));
        let made = made.collect::<polyptych_tensor::Result<Vec<_>>>()?;
        self.note(site, parts);
        let (scaling, dropout) = (self.config.scaling(), self.config.lora_dropout);
        Ok(Box::new(LoraLinear { base, parts: made, scaling, dropout }))
    }

    /// PEFT also refuses targets that name nothing.
    fn finish(&self) -> polyptych_tensor::Result<()> {
        if self.form == Form::Folded || !self.built.borrow().is_empty() {
            return Ok(());
        }
        Err(polyptych_tensor::Error::Config {
            key: "target_modules".into(),
            expected: "a name that the backbone has".into(),
            found: self.config.target_modules.to_string(),
        })
    }

    fn trains(&self, name: &str) -> bool {
        let bias = name.ends_with(".bias");
        name.contains("lora_")
            || match self.config.bias {
                Bias::None => false,
                Bias::All => bias,
                Bias::LoraOnly => {
                    bias && self.built.borrow().contains_key(name.trim_end_matches(".bias"))
                }
            }
    }

    fn fold(&self, tensors: &Tensors) -> polyptych_tensor::Result<Tensors> {
        let mut folded = copy(tensors);
        for (path, parts) in self.built.borrow().iter() {
            for part in parts {
                let prefix = part.prefix(path);
                let a = take(&mut folded, &format!("{prefix}.lora_A.weight"))?;
                let b = take(&mut folded, &format!("{prefix}.lora_B.weight"))?;
                let weight = take(&mut folded, &format!("{path}.weight"))?;
                let merged = weight.copy();
                let delta = b.matmul(&a) * self.config.scaling();
                let _ = merged.narrow(0, part.start, part.len).g_add_(&delta);
                folded.insert(format!("{path}.weight"), merged);
            }
        }
        Ok(folded)
    }
}

#[derive(Debug)]
struct LoraLinear {
    base: Linear,
    parts: Vec<(Part, LowRank)>,
    scaling: f64,
    dropout: f64,
}

impl Projection for LoraLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        x.map(|t| match &self.parts[..] {
            [(Part { name: "", .. }, factors)] => {
                let dropout = if train { self.dropout } else { 0.0 };
                factors.beside(&self.base, t, self.scaling, dropout)
            }
            _ => self.parts_of(&dropout(t, self.dropout, train)).add_to(self.base.forward(t)),
        })
    }
}

impl LoraLinear {
    fn parts_of(&self, x: &Tensor) -> Deltas {
        let delta = |(part, factors): &(Part, LowRank)| (*part, factors.forward(x) * self.scaling);
        Deltas(self.parts.iter().map(delta).collect())
    }
}

struct Deltas(Vec<(Part, Tensor)>);

impl Deltas {
    fn add_to(self, y: Tensor) -> Tensor {
        self.0.into_iter().fold(y, |y, (part, delta)| part.add(y, delta))
    }
}

/// A copy of the map; tensors are shared.
pub(crate) fn copy(tensors: &Tensors) -> Tensors {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect()
}

/// Numbers of a shorter type than float32 in float32, in which factors are multiplied.
pub(crate) fn widened(tensor: &Tensor) -> Tensor {
    match tensor.kind() {
        Kind::Half | Kind::BFloat16 => tensor.to_kind(Kind::Float),
        _ => tensor.shallow_clone(),
    }
}

/// Removes and returns the tensor `name`.
pub(crate) fn take(tensors: &mut Tensors, name: &str) -> polyptych_tensor::Result<Tensor> {
    let unknown = || polyptych_tensor::Error::UnknownName { name: name.into() };
    tensors.remove(name).ok_or_else(unknown)
}

/// PEFT's rule for a list: the name itself, or its end after a dot.
fn is_end(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|_| config("target_modules", "a regular expression", pattern))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use polyptych_tensor::{Device, Store};
    use serde_json::{Value, json};

    fn config_of(fields: Value) -> LoraConfig {
        serde_json::from_value(fields).unwrap()
    }

    fn message(fields: Value) -> String {
        config_of(fields).validate().unwrap_err().to_string()
    }

    /// A plan that was asked for one `attn.qkv` with a bias.
    fn built(fields: Value, form: Form) -> (Store, Lora) {
        let (store, plan) = (Store::new(Device::Cpu), Lora::new(config_of(fields), form).unwrap());
        let path = "blocks.3.attn.qkv".to_owned();
        let scope = path.split('.').fold(store.root(), |scope, part| scope.pp(part));
        let site = Site {
            path,
            kind: SiteKind::Qkv,
            in_features: 2,
            out_features: 6,
            bias: true,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        };
        let _ = plan.projection(&scope, &site).unwrap();
        (store, plan)
    }

    fn factors(target_modules: Value) -> Vec<String> {
        let (store, _) = built(json!({"target_modules": target_modules}), Form::Adapted);
        let names = store.tensors().into_iter().map(|(name, _)| name);
        let names = names.filter_map(|n| n.strip_suffix(".lora_A.weight").map(str::to_owned));
        names.collect()
    }

    #[test]
    fn fields_out_of_range_are_named() {
        assert_eq!(
            message(json!({"r": 0, "target_modules": ["qkv"]})),
            "r: expected at least 1, found 0"
        );
        assert_eq!(
            message(json!({"lora_dropout": 1.0, "target_modules": ["qkv"]})),
            "lora_dropout: expected at least 0 and below 1, found 1"
        );
        assert_eq!(
            message(json!({"target_modules": []})),
            "target_modules: expected at least one name, found an empty list"
        );
        assert_eq!(
            message(json!({"target_modules": "(qkv"})),
            "target_modules: expected a regular expression, found (qkv"
        );
        let misspelt = serde_json::from_value::<LoraConfig>(json!({"target_modules": [], "R": 1}));
        assert!(misspelt.unwrap_err().to_string().contains("unknown field `R`"));
    }

    #[test]
    fn defaults_are_pefts() {
        let config = config_of(json!({"target_modules": ["qkv"]}));
        assert_eq!((config.r, config.lora_alpha, config.lora_dropout), (8, 8.0, 0.0));
        assert_eq!(config_of(json!({"r": 4, "target_modules": ["qkv"]})).scaling(), 2.0);
    }

    #[test]
    fn targets_are_whole_names_or_their_ends() {
        let whole = ["blocks.3.attn.qkv"];
        for target in [json!(["qkv"]), json!(["attn.qkv"]), json!("all-linear"), json!(".*qkv")] {
            assert_eq!(factors(target), whole);
        }
        assert_eq!(factors(json!(["v", "q"])), ["blocks.3.attn.qkv.q", "blocks.3.attn.qkv.v"]);
        assert_eq!(factors(json!(r".*\.attn\.k")), ["blocks.3.attn.qkv.k"]);
        for target in [json!(["kv"]), json!(["ttn.qkv"]), json!("qkv"), json!(["proj"])] {
            assert!(factors(target).is_empty());
        }
    }

    #[test]
    fn targets_that_name_nothing_are_refused() {
        let finish = |target: Value, form| {
            built(json!({"target_modules": target}), form).1.finish().map_err(|e| e.to_string())
        };
        let expected = "target_modules: expected a name that the backbone has, found ";
        assert_eq!(
            finish(json!(["key", "c_attn"]), Form::Adapted),
            Err(format!("{expected}key, c_attn"))
        );
        assert_eq!(finish(json!("qkv"), Form::Adapted), Err(format!("{expected}qkv")));
        assert_eq!(finish(json!(["qkv"]), Form::Adapted), Ok(()));
        assert_eq!(finish(json!(["qkv"]), Form::Folded), Ok(()));
    }

    #[test]
    fn biases_train_as_configured() {
        let trains = |bias: &str| {
            let (_, plan) = built(json!({"target_modules": ["v"], "bias": bias}), Form::Adapted);
            ["blocks.3.attn.qkv.bias", "blocks.3.mlp.fc1.bias", "blocks.3.attn.qkv.weight"]
                .map(|name| plan.trains(name))
        };
        assert_eq!(trains("none"), [false, false, false]);
        assert_eq!(trains("lora_only"), [true, false, false]);
        assert_eq!(trains("all"), [true, true, false]);
    }

    #[test]
    fn folding_names_what_is_missing() {
        let (_, plan) = built(json!({"target_modules": ["k"]}), Form::Adapted);
        let message = plan.fold(&Tensors::new()).unwrap_err().to_string();
        let name = "blocks.3.attn.qkv.k.lora_A.weight";
        assert_eq!(message, format!("parameter `{name}`: no parameter has this name"));
    }
}
