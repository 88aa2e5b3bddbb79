//! Intuition-MoR1E and T-REX: mixtures of rank-1 experts (arXiv 2404.08985).
//!
//! ```text
//! y = W x + b + g B M(x)^T A x          A: [r1, in],  B: [out, r2],  M: [r1, r2]
//! M(x) = n w softmax(V x) + (n / 8) (1 - w) c,      w = sigmoid(100 w_0),  g = sigmoid(100 g_0)
//! ```
//!
//! Every pair of a row of `A` and a column of `B` is an expert of rank 1, and `M` mixes all `n = r1 r2`
//! of them, as T-REX has it. The first version has `n = r` experts on the diagonal of `M`.
//!
//! `c` is the guide, `[n]`: as published it compares a sentence with 32 clusters of the training set,
//! so that `n` is 32 there. For images it compares what the plain backbone makes of the image with
//! `n` clusters of the training images, or it is the task's, `n` trained numbers for each, which gives
//! every task a stream of its own; or there is none, and `w` is 1.

mod clusters;
mod linear;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Error as TensorError, Init, Linear, Parameter, Plain, PlainPass, Plan, Projection,
    Result as TensorResult, Scope, Site, Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use clusters::Clusters;
use linear::{Guide, Mixture, Mor1eLinear, Source};

use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// What guides the mixture beside the token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuidedBy {
    /// The task: every task has its numbers, and a stream of its own.
    #[default]
    Task,
    /// The image: how near it is to clusters of the training images, by the last level of the plain
    /// backbone. There are as many clusters as experts; all tasks share one stream.
    Images,
    /// Nothing: all tasks share one stream.
    Nothing,
}

/// Configuration of mixtures of rank-1 experts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mor1eConfig {
    /// `r1`: rows of `A`.
    pub r: i64,
    /// `r2`: columns of `B`; without it there is an expert for each of `r` pairs alone, as in the
    /// first version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<i64>,
    /// What guides the mixture beside the token.
    pub guide: GuidedBy,
    /// Standard deviation of the first values of `V`. At zero, as published, all columns of `B` would
    /// stay alike unless a guide parts them.
    pub router_init_range: f64,
    /// Which projections carry experts; parts of a fused `qkv` have none of their own.
    pub target_modules: TargetModules,
}

impl Default for Mor1eConfig {
    fn default() -> Self {
        let target_modules = TargetModules::Pattern("all-linear".into());
        Self { r: 4, r2: None, guide: GuidedBy::Task, router_init_range: 0.1, target_modules }
    }
}

impl Mor1eConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        for (key, extent) in [("r", Some(self.r)), ("r2", self.r2)] {
            if let Some(extent) = extent.filter(|extent| *extent < 1) {
                return Err(config(key, "at least 1", extent));
            }
        }
        if !(self.router_init_range >= 0.0 && self.router_init_range.is_finite()) {
            return Err(config("router_init_range", "at least 0", self.router_init_range));
        }
        self.target_modules.validate()
    }

    /// `n`.
    fn experts(&self) -> i64 {
        self.r * self.r2.unwrap_or(1)
    }
}

impl Part for Mor1eConfig {
    const NAME: &'static str = "mor1e";
    const SUMMARY: &'static str =
        "mixtures of rank-1 experts, guided by task or image (MoR1E, T-REX)";

    fn example() -> Self {
        Self { r2: Some(3), ..Self::default() }
    }
}

impl Method for Mor1eConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let targets = Targets::new(&self.target_modules)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        let by_image = self.guide == GuidedBy::Images;
        let clusters = by_image.then(|| Rc::new(Clusters::new(self.experts())));
        Ok(Rc::new(Mor1e { config, tasks, targets, clusters }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*mor1e_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        let by_task = self.guide == GuidedBy::Task;
        by_task.then_some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct Mor1e {
    config: Mor1eConfig,
    tasks: Vec<String>,
    targets: Targets,
    /// What guides by images.
    clusters: Option<Rc<Clusters>>,
}

impl Mor1e {
    fn adapted(&self, scope: &Scope, site: &Site, base: Linear) -> TensorResult<Mor1eLinear> {
        let Mor1eConfig { r, r2, router_init_range, .. } = self.config;
        let (width, n) = (site.in_features, self.config.experts());
        let router = Init::Normal(router_init_range);
        Ok(Mor1eLinear {
            base,
            a: scope.param("mor1e_A", &[r, width], Init::fan_in(width))?,
            b: scope.param("mor1e_B", &[site.out_features, r2.unwrap_or(r)], Init::ZEROS)?,
            mixture: Mixture {
                router: scope.param("mor1e_router", &[n, width], router)?,
                guide: self.guide(scope, n)?,
                pairs: r2.map(|r2| [r, r2]),
            },
            gate: scope.param("mor1e_gate", &[1], Init::ZEROS)?,
        })
    }

    fn guide(&self, scope: &Scope, n: i64) -> TensorResult<Option<Guide>> {
        let omega = || scope.param("mor1e_omega", &[1], Init::ZEROS);
        let source = match (&self.clusters, self.config.guide) {
            (Some(images), _) => Source::Images(images.clone()),
            (None, GuidedBy::Task) => Source::Tasks(self.guides_of_tasks(scope, n)?),
            (None, _) => return Ok(None),
        };
        Ok(Some(Guide { source, omega: omega()? }))
    }

    fn guides_of_tasks(&self, scope: &Scope, n: i64) -> TensorResult<Vec<Tensor>> {
        let own = scope.pp("mor1e_guide");
        // As long as a unit vector, like a comparison with clusters.
        let init = Init::Normal(1.0 / (n as f64).sqrt());
        self.tasks.iter().map(|task| own.param(task, &[n], init)).collect()
    }
}

impl Plan for Mor1e {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if let Some(clusters) = &self.clusters {
            clusters.at(scope, site)?;
        }
        if !self.targets.adapts(site) {
            return Ok(Box::new(Plain(base)));
        }
        Ok(Box::new(self.adapted(&scope.adapter(), site, base)?))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        self.targets.check(sites.iter().any(|site| self.targets.adapts(site)))?;
        match &self.clusters {
            Some(clusters) if !clusters.have_room() => Err(TensorError::Config {
                key: "guide".into(),
                expected: "a backbone whose last stage has MLPs for images".into(),
                found: "one without".into(),
            }),
            _ => Ok(()),
        }
    }

    fn plain_pass(&self) -> Option<&dyn PlainPass> {
        self.clusters.as_deref().map(|clusters| clusters as &dyn PlainPass)
    }

    fn keeps_streams(&self) -> bool {
        self.config.guide == GuidedBy::Task
    }

    fn unmergeable(&self) -> Option<String> {
        Some("routers read every token, and no weight can hold what they choose".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: Mor1eConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"r2": 0}), "r2: expected at least 1, found 0"),
            (
                json!({"router_init_range": -1.0}),
                "router_init_range: expected at least 0, found -1",
            ),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
