//! MoORE: a mixture of orthogonal rank-one experts (Yuan et al., 2025, arXiv 2506.14436).
//!
//! ```text
//! W = U diag(s) V^T = sum_k s_k u_k v_k^T
//! y = U diag(w) V^T H x + b,   w = relu(s + P e_t + Q G x)
//! H = H_r .. H_2 H_1,   H_i = I - 2 h_i h_i^T / |h_i|^2
//! ```
//!
//! Every pair of singular vectors of a frozen weight is an expert. A router changes how much each
//! counts, by the task's token `e_t`, `[token_dim]`, and by the token `x`; reflections turn what the
//! experts read. `P`: `[k, token_dim]`, `G`: `[n, in]`, `Q`: `[k, n]`, `h_i`: `[in]`. `P` and `Q` start at
//! zero and reflections as equal pairs, which cancel: the start is the plain backbone. The columns of
//! `U` stay, and with them the space that outputs lie in.
//!
//! Every task has streams of its own through the whole trunk. The published models are language
//! models with separate `q`, `k` and `v`; a fused `qkv` has experts, reflections and routers for each
//! of its parts here, which share the task's token. Without the router that reads `x`
//! (`router_dim = 0`) every task merges.

mod linear;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Linear, Owner, Parameter, Plain, Plan, Projection, Result as TensorResult, Scope, Site,
    SiteKind, Tensor, Tensors, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use linear::{Experts, MooreLinear};

use crate::blocks::reweight::{OwnWeights, TaskWeights, put_task_weights};
use crate::blocks::svd::SvdCache;
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Where merged weights of tasks lie.
const GROUP: &str = "moore_tasks";

/// Configuration of MoORE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MooreConfig {
    /// Reflections of what a layer's experts read, an even number; 0 leaves inputs as they are.
    pub r: i64,
    /// `n`: width of the router that reads tokens, `num_experts` of the released code; 0 for none.
    pub router_dim: i64,
    /// Length of a task's token, of which every layer has its own.
    pub token_dim: i64,
    /// Which projections get experts. A fused `qkv` counts as one.
    pub target_modules: TargetModules,
}

impl Default for MooreConfig {
    fn default() -> Self {
        let target_modules = TargetModules::Pattern("all-linear".into());
        Self { r: 8, router_dim: 128, token_dim: 64, target_modules }
    }
}

impl MooreConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        if self.r < 0 || self.r % 2 != 0 {
            return Err(config("r", "an even number, at least 0", self.r));
        }
        if self.router_dim < 0 {
            return Err(config("router_dim", "at least 0", self.router_dim));
        }
        if self.token_dim < 1 {
            return Err(config("token_dim", "at least 1", self.token_dim));
        }
        self.target_modules.validate()
    }

    fn reads_tokens(&self) -> bool {
        self.router_dim > 0
    }
}

impl Part for MooreConfig {
    const NAME: &'static str = "moore";
    const SUMMARY: &'static str = "singular vectors as experts, routed by task and token (MoORE)";

    fn example() -> Self {
        Self { r: 2, router_dim: 4, token_dim: 5, ..Self::default() }
    }
}

impl Method for MooreConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let targets = Targets::new(&self.target_modules)?;
        Ok(Rc::new(Moore { config: self.clone(), tasks: tasks.to_vec(), form, targets }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*moore_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct Moore {
    config: MooreConfig,
    tasks: Vec<String>,
    form: Form,
    targets: Targets,
}

/// Matrices one below the other in the weight at `site`.
fn parts_of(site: &Site) -> i64 {
    match site.kind {
        SiteKind::Qkv => 3,
        SiteKind::Q | SiteKind::Kv => (site.out_features / site.in_features).max(1),
        _ => 1,
    }
}

impl Moore {
    fn experts(&self, scope: &Scope, site: &Site) -> TensorResult<Experts> {
        let MooreConfig { r, router_dim, token_dim, .. } = self.config;
        let (parts, width) = (parts_of(site), site.in_features);
        let experts = width.min(site.out_features / parts);
        let router = || -> TensorResult<_> {
            Ok([
                scope.param("moore_G", &[parts, router_dim, width], Init::fan_in(width))?,
                scope.param("moore_Q", &[parts, experts, router_dim], Init::ZEROS)?,
            ])
        };
        let reflections =
            || paired(scope.param("moore_h", &[parts, r, width], Init::Normal(1.0))?);
        Ok(Experts {
            tokens: self
                .tasks
                .iter()
                .map(|task| self.token(scope, task))
                .collect::<TensorResult<_>>()?,
            by_task: scope.param("moore_P", &[parts, experts, token_dim], Init::ZEROS)?,
            router: self.config.reads_tokens().then(router).transpose()?,
            reflections: (r > 0).then(reflections).transpose()?,
            svd: SvdCache::new(parts),
        })
    }

    /// `e_t`. Whatever comes behind the layer reads what it makes of the task's stream.
    fn token(&self, scope: &Scope, task: &str) -> TensorResult<Tensor> {
        let scope = scope.pp("moore_token").owned_by(Owner { task: task.to_owned(), stage: None });
        scope.param(task, &[self.config.token_dim], Init::Normal(1.0))
    }

    /// The experts at `site` in `tensors`, taken out of them.
    fn taken(&self, tensors: &mut Tensors, site: &Site) -> TensorResult<Experts> {
        let mut own = |name: &str| take(tensors, &format!("{}.{name}", site.path));
        let tokens = self.tasks.iter().map(|task| own(&format!("moore_token.{task}")));
        Ok(Experts {
            tokens: tokens.collect::<TensorResult<_>>()?,
            by_task: own("moore_P")?,
            router: None,
            reflections: (self.config.r > 0).then(|| own("moore_h")).transpose()?,
            svd: SvdCache::new(parts_of(site)),
        })
    }
}

/// `h`, `[parts, r, in]`, with equal neighbours, whose reflections cancel.
fn paired(h: Tensor) -> TensorResult<Tensor> {
    no_grad(|| {
        let pairs = h.unflatten(1, [-1, 2]);
        pairs.select(2, 1).copy_(&pairs.select(2, 0));
    });
    Ok(h)
}

impl Plan for Moore {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.targets.adapts(site) {
            return Ok(Box::new(Plain(base)));
        }
        let scope = &scope.adapter();
        if self.form == Form::Merged && !self.config.reads_tokens() {
            let weights = TaskWeights::new(scope, GROUP, site, &self.tasks)?;
            return Ok(Box::new(OwnWeights { base, weights }));
        }
        Ok(Box::new(MooreLinear { base, experts: self.experts(scope, site)? }))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        self.targets.check(sites.iter().any(|site| self.targets.adapts(site)))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn unmergeable(&self) -> Option<String> {
        let reason = "routers read every token, and no weight can hold what they choose";
        self.config.reads_tokens().then(|| reason.into())
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        if self.config.reads_tokens() {
            return Ok(merged);
        }
        for site in sites.iter().filter(|site| self.targets.adapts(site)) {
            let weight = take(&mut merged, &format!("{}.weight", site.path))?;
            let weights = self.taken(&mut merged, site)?.weights(&weight);
            put_task_weights(&mut merged, &site.path, GROUP, &self.tasks, &weights);
            merged.insert(format!("{}.weight", site.path), weight);
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: MooreConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"r": 3}), "r: expected an even number, at least 0, found 3"),
            (json!({"router_dim": -1}), "router_dim: expected at least 0, found -1"),
            (json!({"token_dim": 0}), "token_dim: expected at least 1, found 0"),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
