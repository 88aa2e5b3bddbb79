//! Sine-LoRA: the sine of a low-rank product has a high rank (Ji et al., ICLR 2025, arXiv
//! 2403.19243).
//!
//! ```text
//! W' = W + (alpha / r) sin(f B A) / sqrt(in)
//! ```
//!
//! The sine acts on every entry of the product. It is bounded by 1, far above pre-trained weights,
//! so the published code divides by the root of the width. `B` starts at zero, where the gradient is
//! that of LoRA with the scale `f alpha / (r sqrt(in))`. It merges: `W'` is an ordinary weight.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Linear, Parameter, Plain, Plan, Projection, Result as TensorResult, Scope, Site, Tensor,
    Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::asked::Asked;
use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::reweight::{Reweight, Reweighted};
use crate::blocks::targets::{QkvPart, TargetModules, Targets};
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

const NAMES: (&str, &str) = ("sine_A", "sine_B");

/// Configuration of Sine-LoRA: PEFT's words of LoRA, and a frequency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SineLoraConfig {
    /// Rank of the factors.
    #[serde(default = "default_r")]
    pub r: i64,
    /// Numerator of the scale `lora_alpha / r`.
    #[serde(default = "default_alpha")]
    pub lora_alpha: f64,
    /// `f`, in the hundreds as published; there is no default.
    pub frequency: f64,
    /// Which projections carry factors.
    #[serde(default = "all_linear")]
    pub target_modules: TargetModules,
}

fn default_r() -> i64 {
    8
}

fn default_alpha() -> f64 {
    8.0
}

fn all_linear() -> TargetModules {
    TargetModules::Pattern("all-linear".into())
}

impl SineLoraConfig {
    fn validate(&self) -> Result<()> {
        if self.r < 1 {
            return Err(config("r", "at least 1", self.r));
        }
        for (key, value) in [("lora_alpha", self.lora_alpha), ("frequency", self.frequency)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(config(key, "a positive number", value));
            }
        }
        self.target_modules.validate()
    }
}

impl Part for SineLoraConfig {
    const NAME: &'static str = "sine_lora";
    const SUMMARY: &'static str = "the sine of low-rank factors beside weights";

    fn example() -> Self {
        Self {
            r: default_r(),
            lora_alpha: default_alpha(),
            frequency: 200.0,
            target_modules: all_linear(),
        }
    }
}

impl Method for SineLoraConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        let targets = Targets::new(&self.target_modules)?;
        Ok(Rc::new(SineLora { config: self.clone(), form, targets }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*sine_*"]
    }
}

#[derive(Debug)]
struct SineLora {
    config: SineLoraConfig,
    form: Form,
    targets: Targets,
}

impl Plan for SineLora {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let parts = self.parts(site);
        if parts.is_empty() {
            return Ok(Box::new(Plain(base)));
        }
        let factors = |part: &QkvPart| {
            let shape = [site.in_features, part.len, self.config.r];
            let own = part.adapter(scope);
            Ok((*part, LowRank::new(&own, NAMES, shape, LowRankInit::Identity)?))
        };
        let pairs = parts.iter().map(factors).collect::<TensorResult<_>>()?;
        Ok(Box::new(Reweighted::new(base, self.sines(pairs), &Asked::default())))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        let found = sites.iter().any(|site| !self.targets.parts(site).is_empty());
        self.targets.check(self.form == Form::Merged || found)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites {
            let (path, parts) = (&site.path, self.parts(site));
            if parts.is_empty() {
                continue;
            }
            let mut pair = |part: &QkvPart| {
                let mut factor =
                    |name: &str| take(&mut merged, &format!("{}.{name}", part.prefix(path)));
                Ok((*part, LowRank { a: factor(NAMES.0)?, b: factor(NAMES.1)? }))
            };
            let pairs = parts.iter().map(&mut pair).collect::<TensorResult<_>>()?;
            let weight = widened(&take(&mut merged, &format!("{path}.weight"))?);
            merged.insert(format!("{path}.weight"), self.sines(pairs).shared(&weight));
        }
        Ok(merged)
    }
}

impl SineLora {
    /// What carries factors at `site`, none once the model is merged.
    fn parts(&self, site: &Site) -> Vec<QkvPart> {
        self.targets.parts_in(self.form, site)
    }

    fn sines(&self, parts: Vec<(QkvPart, LowRank)>) -> Sines {
        let SineLoraConfig { r, lora_alpha, frequency, .. } = self.config;
        Sines { parts, frequency, scaling: lora_alpha / r as f64 }
    }
}

#[derive(Debug)]
struct Sines {
    parts: Vec<(QkvPart, LowRank)>,
    frequency: f64,
    scaling: f64,
}

impl Reweight for Sines {
    fn shared(&self, weight: &Tensor) -> Tensor {
        let [out, width] = weight.size()[..] else { unreachable!("a weight is [out, in]") };
        let gain = self.scaling / (width as f64).sqrt();
        self.parts.iter().fold(weight.shallow_clone(), |weight, (part, LowRank { a, b })| {
            let delta = (b.matmul(a) * self.frequency).sin() * gain;
            weight + delta.constant_pad_nd([0, 0, part.start, out - part.start - part.len])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Activations, Device, Kind, Store, no_grad};
    use serde_json::json;

    /// The product has rank 1; its sine has all four.
    #[test]
    fn the_sine_of_a_product_has_a_higher_rank() {
        let a = Tensor::from_slice(&[0.5f32, -0.25, 1.0, 0.75]).view([1, 4]);
        let b = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0]).view([4, 1]);
        let weight = Tensor::zeros([4, 4], (Kind::Float, Device::Cpu));
        let spectrum = |frequency: f64| {
            let part = QkvPart { name: "", start: 0, len: 4 };
            let factors = LowRank { a: a.shallow_clone(), b: b.shallow_clone() };
            let sines = Sines { parts: vec![(part, factors)], frequency, scaling: 2.0 };
            let (_, s, _) = sines.shared(&weight).svd(true, true);
            Vec::<f64>::try_from(s.to_kind(Kind::Double)).unwrap()
        };
        for (found, expected) in spectrum(3.0).iter().zip([1.4472, 1.446494, 1.408278, 0.672753]) {
            assert!((found - expected).abs() < 1e-4, "{found}, {expected}");
        }
        let low = spectrum(0.01);
        assert!((low[0] / 0.01 - 7.5).abs() < 2e-3 && low[1] < 1e-4, "{low:?}");
    }

    #[test]
    fn the_first_gradient_is_that_of_lora() {
        polyptych_tensor::manual_seed(0);
        let fields = json!({"frequency": 200.0, "r": 2, "lora_alpha": 4.0});
        let config: SineLoraConfig = serde_json::from_value(fields).unwrap();
        let site = Site {
            path: "fc1".into(),
            kind: polyptych_tensor::SiteKind::Fc1,
            in_features: 16,
            out_features: 3,
            bias: true,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        };
        let store = Store::new(Device::Cpu);
        let layer = config.plan(&[], Form::Adapted).unwrap();
        let layer = layer.projection(&store.root(), &site).unwrap();
        let x = Tensor::randn([5, 16], (Kind::Float, Device::Cpu));
        layer
            .forward(&Activations::Shared(x.shallow_clone()), true)
            .into_shared()
            .sum(Kind::Float)
            .backward();
        let tensors: std::collections::BTreeMap<_, _> = store.tensors().into_iter().collect();
        let ones = Tensor::ones([5, 3], (Kind::Float, Device::Cpu));
        let low = no_grad(|| x.matmul(&tensors["sine_A"].tr()));
        // f alpha / (r sqrt(in)) = 200 * 4 / (2 * 4).
        let expected = ones.tr().matmul(&low) * 100.0;
        let difference = (tensors["sine_B"].grad() - expected).abs().max().double_value(&[]);
        assert!(difference < 1e-3, "{difference}");
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields| {
            let config: SineLoraConfig = serde_json::from_value(fields).unwrap();
            config.plan(&[], Form::Adapted).unwrap_err().to_string()
        };
        let rank = message(json!({"frequency": 200.0, "r": 0}));
        assert_eq!(rank, "r: expected at least 1, found 0");
        let frequency = message(json!({"frequency": 0.0}));
        assert_eq!(frequency, "frequency: expected a positive number, found 0");
        let missing = serde_json::from_value::<SineLoraConfig>(json!({})).unwrap_err();
        assert!(missing.to_string().contains("frequency"), "{missing}");
    }
}
