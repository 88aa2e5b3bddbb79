//! RCM: every task modulates what frozen filters answer (Kanakis et al., ECCV 2020, arXiv
//! 2007.12540).
//!
//! ```text
//! y_t = M_t W x_t + b,   M_t = g_t (.) V_t / |V_t|        |.| of rows
//! V_t = I + B_t A_t, or a full matrix that starts at I
//! ```
//!
//! `W` is the shared bank of filters. `M_t` is `[out, out]` on its output side, with rows as long as
//! `g_t` says, which is the paper's normalised feature fusion. At the start `B_t = 0` and `g_t = 1`,
//! so that every task has the plain backbone. No task depends on what another trains. It merges into
//! a weight per task.
//!
//! The paper turns filters to the principal axes of their answers first, which leaves the function as
//! it is; that needs a pass over the data and is not part of this method. Low-rank `V_t` are a choice
//! of ours for wide linear layers.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Init, Kind, Linear, Parameter, Plain, Plan, Projection, Result as TensorResult,
    Scope, Site, Tensor, Tensors, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::reweight::{OwnWeights, TaskWeights, put_task_weights, task_linear};
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Where merged weights of tasks lie.
const GROUP: &str = "rcm_tasks";

/// Configuration of RCM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RcmConfig {
    /// Rank of `B_t A_t`; a full matrix without it, as published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r: Option<i64>,
    /// Whether rows are normalised and scaled by `g_t`; `M_t = V_t` otherwise.
    pub normalized_feature_fusion: bool,
    /// Which projections are modulated; parts of a fused `qkv` have no modulators of their own.
    pub target_modules: TargetModules,
}

impl Default for RcmConfig {
    fn default() -> Self {
        let target_modules = TargetModules::Pattern("all-linear".into());
        Self { r: None, normalized_feature_fusion: true, target_modules }
    }
}

impl RcmConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        match self.r {
            Some(r) if r < 1 => Err(config("r", "at least 1", r)),
            _ => self.target_modules.validate(),
        }
    }
}

impl Part for RcmConfig {
    const NAME: &'static str = "rcm";
    const SUMMARY: &'static str = "modulators of every task on the output of frozen weights";

    fn example() -> Self {
        Self { r: Some(2), ..Self::default() }
    }
}

impl Method for RcmConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let targets = Targets::new(&self.target_modules)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        Ok(Rc::new(Rcm { config, tasks, form, targets }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*rcm_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct Rcm {
    config: RcmConfig,
    tasks: Vec<String>,
    form: Form,
    targets: Targets,
}

impl Rcm {
    fn modulator(&self, scope: &Scope, out: i64, task: &str) -> TensorResult<Modulator> {
        let param = |name: &str, shape: &[i64], init| scope.pp(name).param(task, shape, init);
        let mixing = match self.config.r {
            Some(r) => Mixing::LowRank {
                a: param("rcm_A", &[r, out], Init::fan_in(out))?,
                b: param("rcm_B", &[out, r], Init::ZEROS)?,
            },
            None => {
                let v = param("rcm_V", &[out, out], Init::ZEROS)?;
                let identity = Tensor::eye(out, (Kind::Float, v.device()));
                no_grad(|| v.shallow_clone().copy_(&identity));
                Mixing::Full(v)
            }
        };
        let gain = || param("rcm_g", &[out], Init::ONES);
        let gain = self.config.normalized_feature_fusion.then(gain).transpose()?;
        Ok(Modulator { mixing, gain })
    }

    /// The modulator of `task` at `path` in `tensors`, taken out of them.
    fn taken(&self, tensors: &mut Tensors, path: &str, task: &str) -> TensorResult<Modulator> {
        let mut own = |name: &str| take(tensors, &format!("{path}.{name}.{task}"));
        let mixing = match self.config.r {
            Some(_) => Mixing::LowRank { a: own("rcm_A")?, b: own("rcm_B")? },
            None => Mixing::Full(own("rcm_V")?),
        };
        let gain = self.config.normalized_feature_fusion.then(|| own("rcm_g")).transpose()?;
        Ok(Modulator { mixing, gain })
    }
}

impl Plan for Rcm {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.targets.adapts(site) {
            return Ok(Box::new(Plain(base)));
        }
        let scope = &scope.adapter();
        if self.form == Form::Merged {
            let weights = TaskWeights::new(scope, GROUP, site, &self.tasks)?;
            return Ok(Box::new(OwnWeights { base, weights }));
        }
        let modulator = |task: &String| self.modulator(scope, site.out_features, task);
        let modulators = self.tasks.iter().map(modulator).collect::<TensorResult<_>>()?;
        Ok(Box::new(RcmLinear { base, modulators }))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        self.targets.check(sites.iter().any(|site| self.targets.adapts(site)))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| self.targets.adapts(site)) {
            let path = &site.path;
            let weight = take(&mut merged, &format!("{path}.weight"))?;
            let modulators = self.tasks.iter().map(|task| self.taken(&mut merged, path, task));
            let modulators = modulators.collect::<TensorResult<Vec<_>>>()?;
            let weights = modulated(&modulators, &widened(&weight));
            put_task_weights(&mut merged, path, GROUP, &self.tasks, &weights);
            merged.insert(format!("{path}.weight"), weight);
        }
        Ok(merged)
    }
}

/// `M_t`.
#[derive(Debug)]
struct Modulator {
    mixing: Mixing,
    /// `g_t`, `[out]`; none where rows are not normalised.
    gain: Option<Tensor>,
}

/// `V_t`.
#[derive(Debug)]
enum Mixing {
    /// `[out, out]`.
    Full(Tensor),
    /// `A`: `[r, out]`, `B`: `[out, r]`.
    LowRank { a: Tensor, b: Tensor },
}

impl Modulator {
    /// `M_t W`, `[out, in]`, of `W`.
    fn weight(&self, weight: &Tensor) -> Tensor {
        let (product, squares) = match &self.mixing {
            Mixing::Full(v) => (v.matmul(weight), squares_of_rows(v)),
            Mixing::LowRank { a, b } => (weight + b.matmul(&a.matmul(weight)), squares(a, b)),
        };
        match &self.gain {
            None => product,
            Some(gain) => product * (gain / squares.sqrt()).unsqueeze(1),
        }
    }
}

/// `[out]`.
fn squares_of_rows(v: &Tensor) -> Tensor {
    v.square().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
}

/// Squared lengths of the rows of `I + B A`, `[out]`, without that matrix.
fn squares(a: &Tensor, b: &Tensor) -> Tensor {
    let along = |t: Tensor| t.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
    let diagonal = along(b * a.tr());
    let within = along(b.matmul(&a.matmul(&a.tr())) * b);
    diagonal * 2.0 + within + 1.0
}

/// `[tasks, out, in]`.
fn modulated(modulators: &[Modulator], weight: &Tensor) -> Tensor {
    let weights: Vec<Tensor> = modulators.iter().map(|m| m.weight(weight)).collect();
    Tensor::stack(&weights, 0)
}

/// `M_t W x_t + b`.
#[derive(Debug)]
struct RcmLinear {
    base: Linear,
    modulators: Vec<Modulator>,
}

impl Projection for RcmLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let weights = modulated(&self.modulators, &widened(&self.base.weight));
        Activations::PerTask(task_linear(x, &weights, self.base.bias.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;
    use serde_json::json;

    fn draw(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true)
    }

    fn largest(difference: Tensor) -> f64 {
        difference.abs().max().double_value(&[])
    }

    /// Low-rank and full modulators of the same matrix agree with its definition.
    #[test]
    fn rows_are_as_long_as_their_gain() {
        let (a, b, gain, weight) = (draw(&[2, 5]), draw(&[5, 2]), draw(&[5]), draw(&[5, 7]));
        let v = b.matmul(&a) + Tensor::eye(5, (Kind::Float, Device::Cpu));
        let lengths = squares_of_rows(&v).sqrt();
        let expected = (&v * (&gain / lengths).unsqueeze(1)).matmul(&weight);
        for mixing in [Mixing::LowRank { a, b }, Mixing::Full(v)] {
            let modulator = Modulator { mixing, gain: Some(gain.shallow_clone()) };
            assert!(largest(modulator.weight(&weight) - &expected) < 1e-4);
        }
    }

    #[test]
    fn a_step_of_one_task_leaves_the_others_bit_for_bit() {
        let modulators: Vec<Modulator> = (0..2)
            .map(|_| Modulator {
                mixing: Mixing::LowRank { a: draw(&[2, 5]), b: draw(&[5, 2]) },
                gain: Some(draw(&[5])),
            })
            .collect();
        let base = Linear { weight: draw(&[5, 7]).detach(), bias: None };
        let layer = RcmLinear { base, modulators };
        let x = Activations::Shared(draw(&[3, 7]).detach());
        let before = layer.forward(&x, true);
        before.task(1).sum(Kind::Float).backward();
        let Mixing::LowRank { b, .. } = &layer.modulators[0].mixing else { panic!("low rank") };
        assert_eq!(largest(b.grad()), 0.0);
        let Mixing::LowRank { b, .. } = &layer.modulators[1].mixing else { panic!("low rank") };
        let _ = no_grad(|| b.shallow_clone().g_sub_(&b.grad()));
        let after = layer.forward(&x, true);
        assert!(after.task(0).equal(&before.task(0)) && !after.task(1).equal(&before.task(1)));
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let config: RcmConfig = serde_json::from_value(json!({"r": 0})).unwrap();
        let message = config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string();
        assert_eq!(message, "r: expected at least 1, found 0");
    }
}
