//! RCM: every task modulates what frozen filters answer (Kanakis et al., ECCV 2020, arXiv
//! 2007.12540).
//!
//! ```text
//! y_t = M_t W x_t + b,   M_t = g_t (.) V_t / |V_t|        |.| of rows
//! V_t = I + B_t A_t, or a full matrix that starts at I; with axes M_t U^T W, and U for I
//! ```
//!
//! `W` is the shared bank of filters. `M_t` is `[out, out]` on its output side, with rows as long as
//! `g_t` says, which is the paper's normalised feature fusion. At the start `B_t = 0` and `g_t = 1`,
//! so that every task has the plain backbone. No task depends on what another trains. It merges into
//! a weight per task.
//!
//! With `response_init` filters are turned to the principal axes of their answers first, as in the
//! paper: `W` becomes `U^T W` and `V_t` starts at `U`, so that the function stays as it is. `U` is
//! found in a pass over training images. Low-rank `V_t` are a choice of ours for wide linear layers.

mod add_task;
mod modulator;
mod responses;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Init, Kind, Linear, Owner, Parameter, Plain, PlainPass, Plan, Projection,
    Result as TensorResult, Scope, Site, Tensor, Tensors, cast, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use add_task::add_task;
use modulator::{Mixing, Modulator, modulated};
use responses::{AllResponses, Responses};

use crate::blocks::reweight::{OwnWeights, TaskWeights, put_task_weights, task_linear};
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{AddTask, Form, Method};

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
    /// Whether filters are turned to the principal axes of their answers before training.
    pub response_init: bool,
    /// How many training images the axes are found from.
    pub response_images: usize,
    /// Which projections are modulated; parts of a fused `qkv` have no modulators of their own.
    pub target_modules: TargetModules,
}

impl Default for RcmConfig {
    fn default() -> Self {
        let target_modules = TargetModules::Pattern("all-linear".into());
        Self {
            r: None,
            normalized_feature_fusion: true,
            response_init: false,
            response_images: 256,
            target_modules,
        }
    }
}

impl RcmConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        if self.response_images == 0 {
            return Err(config("response_images", "at least 1", 0));
        }
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
        let turns = self.response_init && form == Form::Adapted;
        let responses = turns.then(|| Rc::new(AllResponses::of(self.response_images)));
        Ok(Rc::new(Rcm { config, tasks, form, targets, responses }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*rcm_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }

    fn new_tasks(&self) -> std::result::Result<AddTask, &'static str> {
        Ok(add_task)
    }
}

#[derive(Debug)]
struct Rcm {
    config: RcmConfig,
    tasks: Vec<String>,
    form: Form,
    targets: Targets,
    /// Of layers whose filters are turned.
    responses: Option<Rc<AllResponses>>,
}

impl Rcm {
    fn modulator(&self, scope: &Scope, out: i64, task: &str) -> TensorResult<Modulator> {
        // Every layer behind the modulator reads what it makes of the task's stream.
        let scope = scope.owned_by(Owner { task: task.to_owned(), stage: None });
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

    /// The axes of a layer, which start as the identity.
    fn layer(
        &self,
        scope: &Scope,
        out: i64,
        modulators: &[Modulator],
    ) -> TensorResult<Rc<Responses>> {
        let axes = scope.buffer("rcm_U", &[out, out], Init::ZEROS)?;
        let identity = Tensor::eye(out, (axes.kind(), axes.device()));
        no_grad(|| axes.shallow_clone().copy_(&identity));
        let full = modulators.iter().filter_map(|modulator| match &modulator.mixing {
            Mixing::Full(v) => Some(v.shallow_clone()),
            Mixing::LowRank { .. } => None,
        });
        Ok(Rc::new(Responses::new(axes, full.collect())))
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
        let modulators = self.tasks.iter().map(modulator).collect::<TensorResult<Vec<_>>>()?;
        let turned = |all: &Rc<AllResponses>| -> TensorResult<Turned> {
            let layer = self.layer(scope, site.out_features, &modulators)?;
            all.push(layer.clone());
            Ok(Turned { all: all.clone(), layer })
        };
        let turned = self.responses.as_ref().map(turned).transpose()?;
        Ok(Box::new(RcmLinear { base, modulators, turned }))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        self.targets.check(sites.iter().any(|site| self.targets.adapts(site)))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn plain_pass(&self) -> Option<&dyn PlainPass> {
        self.responses.as_deref().map(|responses| responses as &dyn PlainPass)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| self.targets.adapts(site)) {
            let path = &site.path;
            let weight = take(&mut merged, &format!("{path}.weight"))?;
            let modulators = self.tasks.iter().map(|task| self.taken(&mut merged, path, task));
            let modulators = modulators.collect::<TensorResult<Vec<_>>>()?;
            let axes =
                self.config.response_init.then(|| take(&mut merged, &format!("{path}.rcm_U")));
            let axes = axes.transpose()?;
            let weights = modulated(&modulators, &widened(&weight), axes.as_ref());
            put_task_weights(&mut merged, path, GROUP, &self.tasks, &weights);
            merged.insert(format!("{path}.weight"), weight);
        }
        Ok(merged)
    }
}

/// `M_t W x_t + b`.
#[derive(Debug)]
struct RcmLinear {
    base: Linear,
    modulators: Vec<Modulator>,
    turned: Option<Turned>,
}

/// What belongs to filters that are turned.
#[derive(Debug)]
struct Turned {
    all: Rc<AllResponses>,
    layer: Rc<Responses>,
}

impl RcmLinear {
    /// The frozen layer, whose answers are noted.
    fn plain(&self, x: &Activations, layer: &Responses) -> Activations {
        x.map(|t| {
            let y = self.base.forward(t);
            layer.note(&match &self.base.bias {
                Some(bias) => &y - cast(bias, y.kind()),
                None => y.shallow_clone(),
            });
            y
        })
    }
}

impl Projection for RcmLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        if let Some(Turned { layer, .. }) = self.turned.as_ref().filter(|t| t.all.is_plain()) {
            return self.plain(x, layer);
        }
        let axes = self.turned.as_ref().map(|turned| &turned.layer.axes);
        let weights = modulated(&self.modulators, &widened(&self.base.weight), axes);
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

    #[test]
    fn a_step_of_one_task_leaves_the_others_bit_for_bit() {
        let modulators: Vec<Modulator> = (0..2)
            .map(|_| Modulator {
                mixing: Mixing::LowRank { a: draw(&[2, 5]), b: draw(&[5, 2]) },
                gain: Some(draw(&[5])),
            })
            .collect();
        let base = Linear { weight: draw(&[5, 7]).detach(), bias: None };
        let layer = RcmLinear { base, modulators, turned: None };
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
        for key in ["r", "response_images"] {
            let config: RcmConfig = serde_json::from_value(json!({key: 0})).unwrap();
            let message = config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string();
            assert_eq!(message, format!("{key}: expected at least 1, found 0"));
        }
    }
}
