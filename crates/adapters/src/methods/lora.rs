//! LoRA: `y = W x + b + (alpha / r) B A dropout(x)` (Hu et al. 2022, eq. 3), in PEFT's words.
//!
//! A fused `qkv` can be adapted whole, or in its parts `q`, `k` and `v`, each with its own factors.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Linear, Parameter, ParameterKind, ParameterKinds, Plain, Plan, Projection,
    Result as TensorResult, Scope, Site, Tensor, Tensors, dropout,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::targets::{QkvPart, TargetModules, Targets};
use crate::blocks::tensors::{copy, take};
use crate::error::{Result, config};
use crate::method::{Form, Method};
use crate::peft::factors::{PeftFactors, PeftSettings};

/// Which biases train beside the factors, as in PEFT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Configuration of LoRA; the fields and defaults are PEFT's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
        self.target_modules.validate()
    }

    /// The scale of the low-rank term.
    pub fn scaling(&self) -> f64 {
        self.lora_alpha / self.r as f64
    }

    /// The same in PEFT's files.
    pub(crate) fn peft_settings(&self, use_dora: bool) -> PeftSettings {
        let LoraConfig { r, lora_alpha, lora_dropout, .. } = *self;
        PeftSettings { r, lora_alpha, lora_dropout, use_dora }
    }
}

impl Part for LoraConfig {
    const NAME: &'static str = "lora";
    const SUMMARY: &'static str = "low-rank factors beside weights, one set for all tasks";

    fn example() -> Self {
        Self {
            r: default_r(),
            lora_alpha: default_alpha(),
            lora_dropout: 0.0,
            target_modules: TargetModules::Names(vec!["qkv".into()]),
            bias: Bias::None,
        }
    }
}

impl Method for LoraConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(Lora::new(self.clone(), form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*lora_*"]
    }

    fn in_peft(&self, tensors: &Tensors) -> Option<Result<PeftFactors>> {
        Some(PeftFactors::new(self.peft_settings(false), tensors))
    }
}

/// LoRA as a plan. See [`LoraConfig`].
#[derive(Debug)]
pub struct Lora {
    config: LoraConfig,
    form: Form,
    init: LowRankInit,
    targets: Targets,
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
        let targets = Targets::new(&config.target_modules)?;
        Ok(Self { config, form, init, targets })
    }

    /// What carries factors at `site`: rows of its weight, none once the model is merged.
    pub(crate) fn parts(&self, site: &Site) -> Vec<QkvPart> {
        self.targets.parts_in(self.form, site)
    }

    /// The frozen layer at `site`, below `scope`, which carries factors at `parts`.
    pub(crate) fn base(
        &self,
        scope: &Scope,
        site: &Site,
        parts: &[QkvPart],
    ) -> TensorResult<Linear> {
        let own_bias = self.config.bias == Bias::LoraOnly && !parts.is_empty();
        let marked = own_bias.then(|| scope.training(ParameterKind::Bias));
        let scope = marked.as_ref().unwrap_or(scope);
        Linear::new(scope, site.in_features, site.out_features, site.bias)
    }
}

impl Plan for Lora {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let parts = self.parts(site);
        let base = self.base(scope, site, &parts)?;
        if parts.is_empty() {
            return Ok(Box::new(Plain(base)));
        }
        let factors = |part: &QkvPart| {
            let shape = [site.in_features, part.len, self.config.r];
            let names = ("lora_A.weight", "lora_B.weight");
            LowRank::new(&part.adapter(scope), names, shape, self.init)
        };
        let pairs = parts.iter().map(|part| Ok((*part, factors(part)?)));
        let pairs = pairs.collect::<TensorResult<Vec<_>>>()?;
        let (scaling, dropout) = (self.config.scaling(), self.config.lora_dropout);
        Ok(Box::new(LoraLinear { base, parts: pairs, scaling, dropout }))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        let found = sites.iter().any(|site| !self.targets.parts(site).is_empty());
        self.targets.check(self.form == Form::Merged || found)
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.config.bias == Bias::All && kinds.contains(&ParameterKind::Bias)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites {
            let path = &site.path;
            for part in self.parts(site) {
                let prefix = part.prefix(path);
                let a = take(&mut merged, &format!("{prefix}.lora_A.weight"))?;
                let b = take(&mut merged, &format!("{prefix}.lora_B.weight"))?;
                let weight = take(&mut merged, &format!("{path}.weight"))?.copy();
                let delta = b.matmul(&a) * self.config.scaling();
                let _ = weight.narrow(0, part.start, part.len).g_add_(&delta);
                merged.insert(format!("{path}.weight"), weight);
            }
        }
        Ok(merged)
    }
}

#[derive(Debug)]
struct LoraLinear {
    base: Linear,
    parts: Vec<(QkvPart, LowRank)>,
    scaling: f64,
    dropout: f64,
}

impl Projection for LoraLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        x.map(|t| match &self.parts[..] {
            [(QkvPart { name: "", .. }, factors)] => {
                let dropout = if train { self.dropout } else { 0.0 };
                factors.beside(&self.base, t, self.scaling, dropout)
            }
            _ => self.parts_of(&dropout(t, self.dropout, train)).add_to(self.base.forward(t)),
        })
    }
}

impl LoraLinear {
    fn parts_of(&self, x: &Tensor) -> Deltas {
        let delta =
            |(part, factors): &(QkvPart, LowRank)| (*part, factors.forward(x) * self.scaling);
        Deltas(self.parts.iter().map(delta).collect())
    }
}

struct Deltas(Vec<(QkvPart, Tensor)>);

impl Deltas {
    fn add_to(self, y: Tensor) -> Tensor {
        self.0.into_iter().fold(y, |y, (part, delta)| part.add(y, delta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, SiteKind, Store};
    use serde_json::{Value, json};

    fn config_of(fields: Value) -> LoraConfig {
        serde_json::from_value(fields).unwrap()
    }

    fn message(fields: Value) -> String {
        config_of(fields).validate().unwrap_err().to_string()
    }

    /// An `attn.qkv` with a bias.
    fn site() -> Site {
        Site {
            path: "blocks.3.attn.qkv".to_owned(),
            kind: SiteKind::Qkv,
            in_features: 2,
            out_features: 6,
            bias: true,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        }
    }

    /// A plan that was asked for [`site`].
    fn built(fields: Value, form: Form) -> (Store, Lora) {
        let (store, plan) = (Store::new(Device::Cpu), Lora::new(config_of(fields), form).unwrap());
        let _ = plan.projection(&store.root().pp(site().path), &site()).unwrap();
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
        let check = |target: Value, form| {
            let plan = Lora::new(config_of(json!({"target_modules": target})), form).unwrap();
            plan.check(&[site()], &[]).map_err(|e| e.to_string())
        };
        let expected = "target_modules: expected a name that the backbone has, found ";
        assert_eq!(
            check(json!(["key", "c_attn"]), Form::Adapted),
            Err(format!("{expected}key, c_attn"))
        );
        assert_eq!(check(json!("qkv"), Form::Adapted), Err(format!("{expected}qkv")));
        assert_eq!(check(json!(["qkv"]), Form::Adapted), Ok(()));
        assert_eq!(check(json!(["qkv"]), Form::Merged), Ok(()));
    }

    #[test]
    fn biases_train_as_configured() {
        let trained = |bias: &str| {
            let fields = json!({"target_modules": ["v"], "bias": bias});
            let (store, plan) = built(fields, Form::Adapted);
            let fc1 = Site { path: "fc1".into(), kind: SiteKind::Fc1, ..site() };
            let _ = plan.projection(&store.root().pp("fc1"), &fc1).unwrap();
            let parameters = plan.parameters(&store.root()).into_iter();
            let own = parameters.filter(|parameter| parameter.trains && !parameter.adapter);
            own.map(|parameter| parameter.name).collect::<Vec<_>>()
        };
        assert_eq!(trained("none"), [""; 0]);
        assert_eq!(trained("lora_only"), ["blocks.3.attn.qkv.bias"]);
        assert_eq!(trained("all"), ["blocks.3.attn.qkv.bias", "fc1.bias"]);
    }

    #[test]
    fn merging_names_what_is_missing() {
        let (_, plan) = built(json!({"target_modules": ["k"]}), Form::Adapted);
        let message = plan.merge(&[site()], &Tensors::new()).unwrap_err().to_string();
        let name = "blocks.3.attn.qkv.k.lora_A.weight";
        assert_eq!(message, format!("parameter `{name}`: no parameter has this name"));
    }
}
