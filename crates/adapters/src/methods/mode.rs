//! MoDE: a mixture of dyadic experts (Ning et al., NAACL Findings 2025, arXiv 2408.01505).
//!
//! ```text
//! y = W x + b + sum_k sum_i R_k,i B_k,i A_k x        k = 1 .. r / p,  i = 1 .. m
//! ```
//!
//! A low-rank update of rank `r` falls into `r / p` blocks of rank `p`, and for every block a router
//! of its own, a softmax over `m`, mixes up-projections `B_k,i`: `[out, p]`. The down-projections
//! `A_k`: `[p, in]` are shared by the experts, so that there are `m^(r / p)` mixtures. The paper writes
//! `m x r x p`; `1 x r x r` is LoRA, `m x r x r` is MoLORA-SD and, with a down-projection for every
//! expert, MoLORA.
//!
//! Routing by token reads `R_k = softmax(V_k x)`, and nothing can be merged. Routing by task, a choice
//! of ours, gives every task its logits: all tasks then have streams of their own through the whole
//! trunk, and every task merges into an ordinary weight.

mod linear;

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Linear, Observed, Parameter, Plain, Plan, Projection, Result as TensorResult, Scope,
    Site, Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use linear::{Choices, Experts, ModeLinear, Router, Seen};

use crate::blocks::reweight::{OwnWeights, TaskWeights, put_task_weights};
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Where merged weights of tasks lie.
const GROUP: &str = "mode_tasks";

/// What the routers read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// The task: every task has its mixture.
    #[default]
    Task,
    /// The token, as published: all tasks share one stream.
    Token,
}

/// Configuration of MoDE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModeConfig {
    /// `m`: experts of every block.
    pub num_experts: i64,
    /// `r`: rank of the update.
    pub r: i64,
    /// `p`: rank of a block, which divides `r`; 1 is dyadic.
    pub p: i64,
    /// Whether experts share their down-projections.
    pub shared_down: bool,
    /// What the routers read.
    pub routing: Routing,
    /// Standard deviation of the first values of routers. Zero is for experts with down-projections of
    /// their own: with shared ones all experts of a block would start alike, get the same gradients
    /// and so stay alike for good.
    pub router_init_range: f64,
    /// Which projections carry experts; parts of a fused `qkv` have none of their own.
    pub target_modules: TargetModules,
}

impl Default for ModeConfig {
    fn default() -> Self {
        Self {
            num_experts: 4,
            r: 4,
            p: 1,
            shared_down: true,
            routing: Routing::Task,
            router_init_range: 0.1,
            target_modules: TargetModules::Pattern("all-linear".into()),
        }
    }
}

impl ModeConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        for (key, extent) in [("num_experts", self.num_experts), ("r", self.r), ("p", self.p)] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        if self.r % self.p != 0 {
            return Err(config("p", format!("a divisor of r, {}", self.r), self.p));
        }
        let (range, are_alike) = (self.router_init_range, self.shared_down && self.num_experts > 1);
        if !(range >= 0.0 && range.is_finite()) {
            return Err(config("router_init_range", "a number of at least 0", range));
        }
        if range == 0.0 && are_alike {
            let expected = "a positive number beside shared_down, or all experts stay alike";
            return Err(config("router_init_range", expected, range));
        }
        self.target_modules.validate()
    }
}

impl Part for ModeConfig {
    const NAME: &'static str = "mode";
    const SUMMARY: &'static str = "mixtures of dyadic experts, routed by task or by token";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for ModeConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let targets = Targets::new(&self.target_modules)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        Ok(Rc::new(Mode { config, tasks, form, targets, seen: RefCell::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*mode_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        let by_task = self.routing == Routing::Task;
        by_task.then_some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct Mode {
    config: ModeConfig,
    tasks: Vec<String>,
    form: Form,
    targets: Targets,
    /// What the routers of every layer chose.
    seen: RefCell<Vec<(String, Seen)>>,
}

impl Mode {
    fn experts(&self, scope: &Scope, site: &Site) -> TensorResult<Experts> {
        let ModeConfig { num_experts: m, r, p, shared_down, .. } = self.config;
        let (width, out) = (site.in_features, site.out_features);
        let downs = if shared_down { 1 } else { m };
        Ok(Experts {
            a: scope.param("mode_A", &[downs, r, width], Init::fan_in(width))?,
            b: scope.param("mode_B", &[m, out, r], Init::ZEROS)?,
            p,
        })
    }

    fn router(&self, scope: &Scope, site: &Site) -> TensorResult<Router> {
        let ModeConfig { num_experts: m, r, p, routing, router_init_range, .. } = self.config;
        let (blocks, init) = (r / p, Init::Normal(router_init_range));
        Ok(match routing {
            Routing::Token => {
                Router::Token(scope.param("mode_router", &[blocks * m, site.in_features], init)?)
            }
            Routing::Task => {
                let scope = scope.pp("mode_router");
                let logits = |task: &String| scope.param(task, &[blocks, m], init);
                Router::Tasks(self.tasks.iter().map(logits).collect::<TensorResult<_>>()?)
            }
        })
    }

    fn is_by_token(&self) -> bool {
        self.config.routing == Routing::Token
    }
}

impl Plan for Mode {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.targets.adapts(site) {
            return Ok(Box::new(Plain(base)));
        }
        let scope = &scope.adapter();
        if self.form == Form::Merged && !self.is_by_token() {
            let weights = TaskWeights::new(scope, GROUP, site, &self.tasks)?;
            return Ok(Box::new(OwnWeights { base, weights }));
        }
        let (experts, router) = (self.experts(scope, site)?, self.router(scope, site)?);
        let seen = Seen::default();
        self.seen.borrow_mut().push((site.path.clone(), seen.clone()));
        Ok(Box::new(ModeLinear { base, experts, router, seen }))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        let found = sites.iter().any(|site| self.targets.adapts(site));
        self.targets.check(found)
    }

    fn keeps_streams(&self) -> bool {
        !self.is_by_token()
    }

    fn observed(&self) -> Observed {
        let mut observed = Observed::new();
        for (path, seen) in self.seen.borrow().iter() {
            if let Some(Choices { load, entropy }) = seen.take() {
                observed.push((format!("{path}.load"), load));
                observed.push((format!("{path}.entropy"), entropy));
            }
        }
        observed
    }

    fn unmergeable(&self) -> Option<String> {
        let reason = "routers read every token, and no weight can hold what they choose";
        self.is_by_token().then(|| reason.into())
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        if self.is_by_token() {
            return Ok(merged);
        }
        for Site { path, .. } in sites.iter().filter(|site| self.targets.adapts(site)) {
            let mut own = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            let weight = own("weight")?;
            let experts = Experts { a: own("mode_A")?, b: own("mode_B")?, p: self.config.p };
            let logits = self.tasks.iter().map(|task| own(&format!("mode_router.{task}")));
            let router = Router::Tasks(logits.collect::<TensorResult<_>>()?);
            if let Some((a, b)) = router.factors(&experts) {
                let weights = widened(&weight) + b.matmul(&a);
                put_task_weights(&mut merged, path, GROUP, &self.tasks, &weights);
            }
            merged.insert(format!("{path}.weight"), weight);
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
            let config: ModeConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"num_experts": 0}), "num_experts: expected at least 1, found 0"),
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"r": 4, "p": 3}), "p: expected a divisor of r, 4, found 3"),
            (
                json!({"router_init_range": 0.0}),
                "router_init_range: expected a positive number beside shared_down, or all experts \
                 stay alike, found 0",
            ),
            (
                json!({"router_init_range": -0.1}),
                "router_init_range: expected a number of at least 0, found -0.1",
            ),
        ] {
            assert_eq!(message(fields), expected);
        }
        for fields in [json!({"shared_down": false}), json!({"num_experts": 1})] {
            let config: ModeConfig = serde_json::from_value(fields).unwrap();
            let config = ModeConfig { router_init_range: 0.0, ..config };
            assert!(config.plan(&["sal".to_owned()], Form::Adapted).is_ok());
        }
    }
}
