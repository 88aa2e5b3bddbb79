//! TAPS: a scalar of every layer decides whether its weight is changed at all (Wallingford et al.,
//! CVPR 2022, arXiv 2203.16708).
//!
//! ```text
//! W' = W + 1[s >= tau] D       D = 0 and s = 0.15 at the start, tau = 0.1
//! ```
//!
//! The indicator passes the gradient of `s` unchanged; a layer below `tau` is the frozen one and its
//! `D` learns nothing. `D` has the full shape of the weight, or is a low-rank product `B A`. It
//! merges: layers that were not selected are the backbone's own, bit for bit.
//!
//! As published a task has its own selection: `backbone.per_task` of a recipe gives every task a
//! copy. The loss has a term `lambda mean |s|` over the layers, which pulls them back to the backbone.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Kind, Linear, Parameter, Plain, Plan, Projection, Result as TensorResult, Scope, Site,
    Tensor, Tensors, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::asked::Asked;
use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::reweight::{Reweight, Reweighted};
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tensors::{copy, take, widened};
use crate::deltas::{dense, low_rank};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of TAPS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TapsConfig {
    /// What a layer's `s` must be at least for its weight to change.
    pub tau: f64,
    /// First value of every `s`.
    pub s_init: f64,
    /// `lambda`: weight of the mean of all `|s|` in the loss; from 0.1 to 1 as published, 0 for none.
    pub lambda: f64,
    /// Rank of `D`; the full shape of the weight without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<i64>,
    /// Whether biases of selected layers change too.
    pub bias: bool,
    /// Which projections have a selection; parts of a fused `qkv` have none of their own.
    pub target_modules: TargetModules,
}

impl Default for TapsConfig {
    fn default() -> Self {
        let target_modules = TargetModules::Pattern("all-linear".into());
        Self { tau: 0.1, s_init: 0.15, lambda: 0.1, r: None, bias: true, target_modules }
    }
}

impl TapsConfig {
    fn validate(&self) -> Result<()> {
        if !self.tau.is_finite() {
            return Err(config("tau", "a finite number", self.tau));
        }
        if !(self.s_init.is_finite() && self.s_init >= self.tau) {
            let expected = format!("at least tau, {}, or no layer ever changes", self.tau);
            return Err(config("s_init", expected, self.s_init));
        }
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return Err(config("lambda", "at least 0", self.lambda));
        }
        match self.r {
            Some(r) if r < 1 => Err(config("r", "at least 1", r)),
            _ => self.target_modules.validate(),
        }
    }
}

impl Part for TapsConfig {
    const NAME: &'static str = "taps";
    const SUMMARY: &'static str = "weight updates in the layers that a learned score selects";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for TapsConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        let targets = Targets::new(&self.target_modules)?;
        Ok(Rc::new(Taps { config: self.clone(), form, targets, scalars: RefCell::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*taps_*"]
    }
}

#[derive(Debug)]
struct Taps {
    config: TapsConfig,
    form: Form,
    targets: Targets,
    /// `s` of every layer, `[1]` each.
    scalars: RefCell<Vec<(String, Tensor)>>,
}

impl Taps {
    /// Whether a selection stands at `site`, none once the model is merged.
    fn adapts(&self, site: &Site) -> bool {
        self.form == Form::Adapted && self.targets.adapts(site)
    }

    /// Whether the bias at `site` may change.
    fn changes_bias(&self, site: &Site) -> bool {
        site.bias && self.config.bias
    }

    fn selected(&self, scope: &Scope, site: &Site) -> TensorResult<Selected> {
        let (width, out) = (site.in_features, site.out_features);
        let delta = match self.config.r {
            None => Delta::Full(scope.param("taps_delta", &[out, width], Init::ZEROS)?),
            Some(r) => {
                let names = ("taps_A", "taps_B");
                Delta::LowRank(LowRank::new(scope, names, [width, out, r], LowRankInit::Identity)?)
            }
        };
        let bias = || scope.param("taps_bias", &[out], Init::ZEROS);
        Ok(Selected {
            s: scope.param("taps_s", &[1], Init::Const(self.config.s_init))?,
            tau: self.config.tau,
            delta,
            bias: self.changes_bias(site).then(bias).transpose()?,
        })
    }
}

impl Taps {
    /// What the layer at `site` may change by, taken out of `tensors`.
    fn taken_from(&self, tensors: &mut Tensors, site: &Site) -> TensorResult<Selected> {
        let mut own = |name: &str| take(tensors, &format!("{}.{name}", site.path));
        let delta = match self.config.r {
            None => Delta::Full(own("taps_delta")?),
            Some(_) => Delta::LowRank(LowRank { a: own("taps_A")?, b: own("taps_B")? }),
        };
        let bias = self.changes_bias(site).then(|| own("taps_bias")).transpose()?;
        Ok(Selected { s: own("taps_s")?, tau: self.config.tau, delta, bias })
    }
}

impl Plan for Taps {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.adapts(site) {
            return Ok(Box::new(Plain(base)));
        }
        let reweight = self.selected(&scope.adapter(), site)?;
        self.scalars.borrow_mut().push((site.path.clone(), reweight.s.shallow_clone()));
        Ok(Box::new(Reweighted::new(base, reweight, &Asked::default())))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        let found = sites.iter().any(|site| self.targets.adapts(site));
        self.targets.check(self.form == Form::Merged || found)
    }

    fn penalty(&self) -> Option<Tensor> {
        let all = self.scalars.borrow();
        let penalised = self.config.lambda > 0.0 && !all.is_empty();
        let all: Vec<&Tensor> = all.iter().map(|(_, s)| s).collect();
        penalised.then(|| Tensor::cat(&all, 0).abs().mean(Kind::Float) * self.config.lambda)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| self.adapts(site)) {
            let (path, has_bias) = (&site.path, self.changes_bias(site));
            let selected = self.taken_from(&mut merged, site)?;
            if !selected.is_kept() {
                continue;
            }
            let mut own = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            let weight = selected.shared(&widened(&own("weight")?));
            let bias = has_bias.then(|| own("bias")).transpose()?;
            let bias = bias.map(|bias| selected.bias(&widened(&bias)));
            merged.insert(format!("{path}.weight"), weight);
            merged.extend(bias.map(|bias| (format!("{path}.bias"), bias)));
        }
        Ok(merged)
    }

    fn taken(&self) -> Option<Vec<(String, Vec<f64>)>> {
        let tau = self.config.tau;
        let kept = |s: &Tensor| no_grad(|| s.ge(tau).double_value(&[0]));
        let scalars = self.scalars.borrow();
        let layers = scalars.iter().map(|(path, s)| (path.clone(), vec![kept(s)]));
        (!scalars.is_empty()).then(|| layers.collect())
    }

    /// The layers that were selected.
    fn delta(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Option<Tensors>> {
        let (mut tensors, mut kept) = (copy(tensors), Tensors::new());
        for site in sites.iter().filter(|site| self.adapts(site)) {
            let selected = self.taken_from(&mut tensors, site)?;
            if selected.is_kept() {
                kept.extend(selected.stored(&site.path));
            }
        }
        Ok(Some(kept))
    }
}

/// What a layer may change by.
#[derive(Debug)]
struct Selected {
    /// `[1]`.
    s: Tensor,
    tau: f64,
    delta: Delta,
    /// `[out]`.
    bias: Option<Tensor>,
}

#[derive(Debug)]
enum Delta {
    /// `[out, in]`.
    Full(Tensor),
    LowRank(LowRank),
}

impl Delta {
    /// `D`, `[out, in]`.
    fn matrix(&self) -> Tensor {
        match self {
            Delta::Full(delta) => delta.shallow_clone(),
            Delta::LowRank(LowRank { a, b }) => b.matmul(a),
        }
    }
}

impl Selected {
    /// `1[s >= tau]`, `[1]`, with the gradient of `s`.
    fn indicator(&self) -> Tensor {
        let hard = self.s.detach().ge(self.tau).to_kind(self.s.kind());
        hard + (&self.s - self.s.detach())
    }

    /// What is added to weight and bias of the layer at `path`.
    fn stored(&self, path: &str) -> Tensors {
        let weight = format!("{path}.weight");
        let mut stored = match &self.delta {
            Delta::Full(delta) => Tensors::from([dense(&weight, delta)]),
            Delta::LowRank(LowRank { a, b }) => Tensors::from(low_rank(&weight, a, b)),
        };
        stored.extend(self.bias.iter().map(|bias| dense(&format!("{path}.bias"), bias)));
        stored
    }

    fn is_kept(&self) -> bool {
        no_grad(|| self.s.ge(self.tau).int64_value(&[0]) != 0)
    }
}

impl Reweight for Selected {
    fn shared(&self, weight: &Tensor) -> Tensor {
        weight + self.indicator() * self.delta.matrix()
    }

    fn bias(&self, bias: &Tensor) -> Tensor {
        match &self.bias {
            Some(delta) => bias + self.indicator() * delta,
            None => bias.shallow_clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Activations, Device, SiteKind, Store};
    use serde_json::json;

    fn site() -> Site {
        Site {
            path: "fc1".into(),
            kind: SiteKind::Fc1,
            in_features: 4,
            out_features: 3,
            bias: true,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        }
    }

    /// A layer whose `s` is `s`, and its tensors after a backward pass from the sum of squares.
    fn trained(s: f32, x: &Tensor) -> (Rc<dyn Plan>, Tensor, Tensors) {
        let plan = TapsConfig::default().plan(&[], Form::Adapted).unwrap();
        let store = Store::new(Device::Cpu);
        let layer = plan.projection(&store.root().pp("fc1"), &site()).unwrap();
        let tensors: Tensors = store.tensors().into_iter().collect();
        let set = |name: &str, value: &Tensor| {
            no_grad(|| tensors[&format!("fc1.{name}")].shallow_clone().copy_(value));
        };
        set("weight", &Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]));
        set("taps_s", &Tensor::from_slice(&[s]));
        let y = layer.forward(&Activations::Shared(x.shallow_clone()), true).into_shared();
        y.square().sum(Kind::Float).backward();
        (plan, y.detach(), tensors)
    }

    #[test]
    fn the_first_gradient_is_that_of_full_fine_tuning() {
        let x = Tensor::from_slice(&[1.0f32, -1.0, 0.5, 2.0]).unsqueeze(0);
        let (_, y, tensors) = trained(0.1, &x);
        let weight = tensors["fc1.weight"].detach().set_requires_grad(true);
        let plain = x.matmul(&weight.tr());
        assert_eq!(y, plain);
        plain.square().sum(Kind::Float).backward();
        assert_eq!(tensors["fc1.taps_delta"].grad(), weight.grad());
        assert_eq!(tensors["fc1.taps_bias"].grad(), (y * 2.0).squeeze_dim(0));
    }

    #[test]
    fn a_layer_below_tau_is_the_frozen_one() {
        let x = Tensor::from_slice(&[1.0f32, -1.0, 0.5, 2.0]).unsqueeze(0);
        let (plan, _, tensors) = trained(0.09, &x);
        for name in ["fc1.taps_delta", "fc1.taps_bias"] {
            assert_eq!(tensors[name].grad().abs().max().double_value(&[]), 0.0, "{name}");
        }
        let set = Tensor::ones([3, 4], (Kind::Float, Device::Cpu));
        no_grad(|| tensors["fc1.taps_delta"].shallow_clone().copy_(&set));
        let merged = plan.merge(&[site()], &tensors).unwrap();
        assert!(merged["fc1.weight"].equal(&tensors["fc1.weight"]));
        assert_eq!(merged.keys().collect::<Vec<_>>(), ["fc1.bias", "fc1.weight"]);
    }

    /// The gradient of `s` is that of a factor on `D`.
    #[test]
    fn the_indicator_passes_its_gradient() {
        let delta = Tensor::from_slice(&[2.0f32, -1.0]).unsqueeze(0);
        for s in [0.05f32, 0.15] {
            let s = Tensor::from_slice(&[s]).set_requires_grad(true);
            let delta = Delta::Full(delta.shallow_clone());
            let selected = Selected { s: s.shallow_clone(), tau: 0.1, delta, bias: None };
            let weight = Tensor::zeros([1, 2], (Kind::Float, Device::Cpu));
            (selected.shared(&weight) * 3.0).sum(Kind::Float).backward();
            assert_eq!(s.grad().double_value(&[0]), 3.0);
        }
    }

    #[test]
    fn the_penalty_is_the_mean_of_all_scalars() {
        let config = TapsConfig { lambda: 0.5, ..TapsConfig::default() };
        let plan = config.plan(&[], Form::Adapted).unwrap();
        let store = Store::new(Device::Cpu);
        for name in ["fc1", "fc2"] {
            let site = Site { path: name.into(), ..site() };
            let _ = plan.projection(&store.root().pp(name), &site).unwrap();
        }
        let tensors: Tensors = store.tensors().into_iter().collect();
        let _ = no_grad(|| tensors["fc2.taps_s"].shallow_clone().fill_(-0.25));
        let penalty = plan.penalty().unwrap();
        assert!((penalty.double_value(&[]) - 0.5 * (0.15 + 0.25) / 2.0).abs() < 1e-7);
        penalty.backward();
        for (name, expected) in [("fc1", 0.25), ("fc2", -0.25)] {
            assert_eq!(tensors[&format!("{name}.taps_s")].grad().double_value(&[0]), expected);
        }
        let none = TapsConfig { lambda: 0.0, ..config }.plan(&[], Form::Adapted).unwrap();
        let _ = none.projection(&Store::new(Device::Cpu).root(), &site()).unwrap();
        assert!(none.penalty().is_none());
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields| {
            let config: TapsConfig = serde_json::from_value(fields).unwrap();
            config.plan(&[], Form::Adapted).unwrap_err().to_string()
        };
        assert_eq!(message(json!({"r": 0})), "r: expected at least 1, found 0");
        assert_eq!(message(json!({"lambda": -1.0})), "lambda: expected at least 0, found -1");
        assert_eq!(
            message(json!({"s_init": 0.05})),
            "s_init: expected at least tau, 0.1, or no layer ever changes, found 0.05"
        );
    }
}
