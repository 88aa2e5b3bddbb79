//! DoRA: a weight's magnitude and its direction are adapted apart (Liu et al., ICML 2024, arXiv
//! 2402.09353, equation 5), in PEFT's words.
//!
//! ```text
//! V = W + (alpha / r) B A
//! y = m V / |V| x + b         m and |V|: one number per row of V; |V| passes no gradient
//! ```
//!
//! `m`, PEFT's `lora_magnitude_vector`, starts as `|W|`. The weights of a backbone are loaded after
//! its parameters are made, so `m` is made of zeros, which stand for "not started", and takes its
//! first values in the first forward pass. It merges: the weight becomes `m V / |V|`.

use std::cell::Cell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Init, Linear, Parameter, ParameterKinds, Plain, Plan, Projection,
    Result as TensorResult, Scope, Site, Tensor, Tensors, cast, dropout, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::targets::QkvPart;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::Result;
use crate::method::{Form, Method};
use crate::methods::lora::{Lora, LoraConfig};
use crate::peft::factors::PeftFactors;

const MAGNITUDE: &str = "lora_magnitude_vector";

/// Configuration of DoRA: that of LoRA, as in PEFT, where DoRA is LoRA with `use_dora`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DoraConfig(pub LoraConfig);

impl Part for DoraConfig {
    const NAME: &'static str = "dora";
    const SUMMARY: &'static str = "LoRA on the direction of each weight, beside its magnitude";

    fn example() -> Self {
        Self(LoraConfig::example())
    }
}

impl Method for DoraConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(Dora::new(self.clone(), form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*lora_*"]
    }

    fn in_peft(&self, tensors: &Tensors) -> Option<Result<PeftFactors>> {
        Some(PeftFactors::new(self.0.peft_settings(true), tensors))
    }
}

/// DoRA as a plan. See [`DoraConfig`].
#[derive(Debug)]
pub struct Dora {
    config: LoraConfig,
    /// Which sites and rows are adapted, and which biases train.
    lora: Lora,
}

impl Dora {
    /// Checks `config` and makes the plan.
    ///
    /// # Errors
    /// As [`LoraConfig::validate`].
    pub fn new(config: DoraConfig, form: Form) -> Result<Self> {
        let lora = Lora::new(config.0.clone(), form)?;
        Ok(Self { config: config.0, lora })
    }

    fn direction(&self, scope: &Scope, site: &Site, part: QkvPart) -> TensorResult<Direction> {
        let scope = part.adapter(scope);
        let shape = [site.in_features, part.len, self.config.r];
        let names = ("lora_A.weight", "lora_B.weight");
        let factors = LowRank::new(&scope, names, shape, LowRankInit::Identity)?;
        let magnitude = scope.param(MAGNITUDE, &[part.len], Init::ZEROS)?;
        Ok(Direction::new(part, factors, magnitude, self.config.scaling()))
    }
}

impl Plan for Dora {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let parts = self.lora.parts(site);
        let base = self.lora.base(scope, site, &parts)?;
        if parts.is_empty() {
            return Ok(Box::new(Plain(base)));
        }
        let directions = parts.iter().map(|part| self.direction(scope, site, *part));
        let directions = directions.collect::<TensorResult<_>>()?;
        Ok(Box::new(DoraLinear { base, directions, dropout: self.config.lora_dropout }))
    }

    fn check(&self, sites: &[Site], parameters: &[Parameter]) -> TensorResult<()> {
        self.lora.check(sites, parameters)
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.lora.trains(kinds)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites {
            let (path, parts) = (&site.path, self.lora.parts(site));
            if parts.is_empty() {
                continue;
            }
            let weight = take(&mut merged, &format!("{path}.weight"))?.copy();
            for part in parts {
                let prefix = part.prefix(path);
                let mut factor = |name: &str| take(&mut merged, &format!("{prefix}.{name}"));
                let factors = LowRank { a: factor("lora_A.weight")?, b: factor("lora_B.weight")? };
                let magnitude = factor(MAGNITUDE)?;
                let scaling = self.config.scaling();
                Direction::new(part, factors, magnitude, scaling).merge_into(&weight);
            }
            merged.insert(format!("{path}.weight"), weight);
        }
        Ok(merged)
    }
}

/// The factors and the magnitude of some rows of a weight.
#[derive(Debug)]
struct Direction {
    part: QkvPart,
    factors: LowRank,
    magnitude: Tensor,
    scaling: f64,
    /// Whether `magnitude` is known to hold more than zeros, so that no step reads it again; a cell,
    /// since the forward pass finds out.
    started: Cell<bool>,
}

impl Direction {
    fn new(part: QkvPart, factors: LowRank, magnitude: Tensor, scaling: f64) -> Self {
        Self { part, factors, magnitude, scaling, started: Cell::new(false) }
    }

    /// `V`, `[part.len, in]`, in float32 or wider.
    fn adapted(&self, weight: &Tensor) -> Tensor {
        self.rows(weight) + self.factors.b.matmul(&self.factors.a) * self.scaling
    }

    /// `m / |V|`, with `m = |W|` where it has not started.
    fn gain(&self, weight: &Tensor) -> Tensor {
        let norm = no_grad(|| norm_of_rows(&self.adapted(weight)));
        match self.has_started() {
            true => &self.magnitude / norm,
            false => self.norm_of_frozen(weight) / norm,
        }
    }

    /// Gives `m` its first values, once.
    fn start(&self, weight: &Tensor) {
        if !self.has_started() {
            no_grad(|| self.magnitude.shallow_clone().copy_(&self.norm_of_frozen(weight)));
        }
        self.started.set(true);
    }

    fn has_started(&self) -> bool {
        let largest = || no_grad(|| self.magnitude.abs().max().double_value(&[]));
        self.started.get() || largest() > 0.0
    }

    fn norm_of_frozen(&self, weight: &Tensor) -> Tensor {
        no_grad(|| norm_of_rows(&self.rows(weight)))
    }

    fn rows(&self, weight: &Tensor) -> Tensor {
        widened(&weight.narrow(0, self.part.start, self.part.len))
    }

    /// What the rows add to the frozen output: `(g - 1) W x + g (alpha / r) B A x`.
    ///
    /// `wx` are all rows of `W x`. The sum is exact where `g = 1` and `B = 0`.
    fn delta(&self, weight: &Tensor, x: &Tensor, wx: &Tensor) -> Tensor {
        self.start(weight);
        let gain = cast(&self.gain(weight), x.kind());
        let wx = wx.narrow(-1, self.part.start, self.part.len);
        let low = self.factors.forward(x) * (&gain * self.scaling);
        wx * (gain - 1.0) + low
    }

    fn merge_into(&self, weight: &Tensor) {
        let merged = no_grad(|| self.gain(weight).unsqueeze(1) * self.adapted(weight));
        no_grad(|| weight.narrow(0, self.part.start, self.part.len).copy_(&merged));
    }
}

fn norm_of_rows(weight: &Tensor) -> Tensor {
    weight.square().sum_dim_intlist([1i64].as_slice(), false, weight.kind()).sqrt()
}

#[derive(Debug)]
struct DoraLinear {
    base: Linear,
    directions: Vec<Direction>,
    dropout: f64,
}

impl Projection for DoraLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        x.map(|t| self.stream(t, train))
    }
}

impl DoraLinear {
    fn stream(&self, x: &Tensor, train: bool) -> Tensor {
        let y = self.base.forward(x);
        let dropped = dropout(x, self.dropout, train);
        let wx = match &self.base.bias {
            _ if train && self.dropout > 0.0 => {
                dropped.linear(&cast(&self.base.weight, x.kind()), None::<&Tensor>)
            }
            Some(bias) => &y - cast(bias, x.kind()),
            None => y.shallow_clone(),
        };
        self.directions.iter().fold(y, |y, direction| {
            let delta = direction.delta(&self.base.weight, &dropped, &wx);
            direction.part.add(y, delta)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind, SiteKind, Store};
    use serde_json::json;

    #[test]
    fn the_published_equation_holds() {
        let (store, config) = (Store::new(Device::Cpu), json!({"r": 2, "target_modules": ["fc1"]}));
        let plan = Dora::new(serde_json::from_value(config).unwrap(), Form::Adapted).unwrap();
        let site = Site {
            path: "fc1".into(),
            kind: SiteKind::Fc1,
            in_features: 3,
            out_features: 5,
            bias: true,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        };
        let layer = plan.projection(&store.root(), &site).unwrap();
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Double, Device::Cpu));
        for (_, mut tensor) in store.tensors() {
            no_grad(|| tensor.copy_(&draw(&tensor.size())));
        }
        let get = |name: &str| store.tensors().into_iter().find(|(n, _)| n == name).unwrap().1;
        let v = get("weight") + get("lora_B.weight").matmul(&get("lora_A.weight")) * 4.0;
        let norm = v.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Float).sqrt();
        let weight = get(MAGNITUDE).unsqueeze(1) * v / norm;
        let x = draw(&[7, 3]).to_kind(Kind::Float);
        let expected = x.linear(&weight, Some(&get("bias")));
        let found = layer.forward(&Activations::Shared(x), false).into_shared();
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
    }
}
