//! FAAR: low-rank factors whose ranks shrink, for all tasks and for each, and filters of every task
//! on the spectra of the levels (CVPR 2026, arXiv 2603.20403).
//!
//! ```text
//! every projection                              y   = W' x + b
//! proj, fc1, fc2 of the last block of a stage   y_t = W'_t x_t + b
//! levels                                        filters of tasks, and spectra of other tasks
//! ```
//!
//! `W'` and `W'_t` are `W` with factors, and magnitudes where `form` has them, as [PDRS](super::pdrs)
//! says; those of a task stand on `W`, not on `W'`. The levels are filtered as
//! [TS-PD](super::ts_pd) says. The trunk merges, with a weight per task where tasks have factors.
//!
//! The paper's decoder reads all levels at one size and is MTLoRA's; heads are a choice beside this
//! method.

mod linear;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Linear, Neck, ParameterKinds, Plain, Plan, Projection, Pyramid, Result as TensorResult, Scope,
    Site, SiteKind, Tensor, Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use linear::FaarLinear;

use super::pdrs::{Adapted, Built, PdrsConfig, PdrsForm};
use super::ts_pd::TsPdConfig;
use crate::blocks::asked::Asked;
use crate::blocks::body::Frozen;
use crate::blocks::reweight::{Reweighted, TaskWeights, put_task_weights};
use crate::blocks::slots::RankShrinking;
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Where the parameters of tasks lie.
const TASK: &str = "pdrs_task";
/// Where merged weights of tasks lie.
const GROUP: &str = "pdrs_tasks";

/// Configuration of FAAR.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FaarConfig {
    /// Rank of the factors that tasks share, at the start.
    pub r: i64,
    /// Rank of the factors of every task, at the start.
    pub task_r: i64,
    /// `s`, not divided by the rank.
    pub scale: f64,
    /// What the factors change.
    pub form: PdrsForm,
    /// Weight of the mean of `(m / |W| - 1)^2` of every layer in the loss of `anchored_dora`; 0 for
    /// none.
    pub anchor: f64,
    /// When and how far ranks shrink, each by itself.
    pub rank_shrinking: RankShrinking,
    /// Whether tasks filter the levels.
    pub filters: bool,
    /// How they do.
    pub spectra: TsPdConfig,
    /// Keeps the patch embedding, its normalisation included, as it was.
    pub freeze_patch_embed: bool,
    /// Keeps the normalisation layers as they were, that of the patch embedding included.
    pub freeze_norm: bool,
    /// Keeps the relative-position tables as they were.
    pub freeze_relative_position_bias: bool,
    /// Keeps the matrices of patch merging as they were, beside their factors.
    pub freeze_downsample_reduction: bool,
}

impl Default for FaarConfig {
    fn default() -> Self {
        let PdrsConfig { scale, form, anchor, rank_shrinking, .. } = PdrsConfig::default();
        Self {
            r: 32,
            task_r: 32,
            scale,
            form,
            anchor,
            rank_shrinking,
            filters: true,
            spectra: TsPdConfig::default(),
            freeze_patch_embed: false,
            freeze_norm: false,
            freeze_relative_position_bias: false,
            freeze_downsample_reduction: true,
        }
    }
}

impl FaarConfig {
    /// How factors are made and used.
    fn factors(&self) -> PdrsConfig {
        let Self { r, scale, form, anchor, rank_shrinking, .. } = *self;
        PdrsConfig { r, scale, form, anchor, rank_shrinking, ..PdrsConfig::default() }
    }

    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        if self.task_r < 1 {
            return Err(config("task_r", "at least 1", self.task_r));
        }
        self.factors().validate()?;
        if self.rank_shrinking.floor > self.task_r {
            let expected = format!("from 1 to task_r, {}", self.task_r);
            return Err(config("rank_shrinking.floor", expected, self.rank_shrinking.floor));
        }
        self.spectra.validate(tasks)
    }

    fn frozen(&self) -> Frozen {
        Frozen {
            patch_embed: self.freeze_patch_embed,
            norm: self.freeze_norm,
            relative_position_bias: self.freeze_relative_position_bias,
            downsample_reduction: self.freeze_downsample_reduction,
        }
    }
}

impl Part for FaarConfig {
    const NAME: &'static str = "faar";
    const SUMMARY: &'static str =
        "shrinking ranks for all tasks and for each, and filters of tasks on spectra";

    fn example() -> Self {
        Self { r: 4, task_r: 3, ..Self::default() }
    }
}

impl Method for FaarConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        Ok(Rc::new(Faar {
            config: self.clone(),
            factors: self.factors(),
            tasks: tasks.to_vec(),
            form,
            built: Built::default(),
            asked: Asked::default(),
        }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*pdrs_*", "*tspd_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

/// Whether tasks have factors of their own at `site`.
fn has_tasks(site: &Site) -> bool {
    site.last_in_stage && matches!(site.kind, SiteKind::Proj | SiteKind::Fc1 | SiteKind::Fc2)
}

#[derive(Debug)]
struct Faar {
    config: FaarConfig,
    factors: PdrsConfig,
    tasks: Vec<String>,
    form: Form,
    built: Built,
    asked: Asked,
}

impl Faar {
    fn adapted(&self, scope: &Scope, site: &Site, base: Linear) -> TensorResult<FaarLinear> {
        let make = |scope: &Scope, r: i64| self.built.make(scope, site, r, &self.factors);
        let own = |task: &String| make(&scope.pp(TASK).pp(task), self.config.task_r);
        let tasks = self.tasks.iter().filter(|_| has_tasks(site)).map(own);
        let shared = make(scope, self.config.r)?;
        if has_tasks(site) && site.last_stage {
            self.mark_dead(scope)?;
        }
        Ok(FaarLinear {
            base,
            shared,
            tasks: tasks.collect::<TensorResult<_>>()?,
            asked: self.asked.clone(),
        })
    }

    /// Marks what only the shared output at `scope` depends on, which no head reads.
    fn mark_dead(&self, scope: &Scope) -> TensorResult<()> {
        let names: &[&str] = match self.config.form {
            PdrsForm::Lora => &["pdrs_A", "pdrs_B"],
            PdrsForm::Dora | PdrsForm::AnchoredDora => &["pdrs_A", "pdrs_B", "pdrs_theta"],
        };
        let mark = |name| scope.store().mark_unused(&format!("{}.{name}", scope.path()));
        names.iter().try_for_each(mark)
    }

    fn merged(
        &self,
        scope: &Scope,
        site: &Site,
        base: Linear,
    ) -> TensorResult<Box<dyn Projection>> {
        if !has_tasks(site) {
            return Ok(Box::new(Plain(base)));
        }
        let reweight = TaskWeights::new(scope, GROUP, site, &self.tasks)?;
        Ok(Box::new(Reweighted::new(base, reweight, &self.asked)))
    }
}

impl Plan for Faar {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !site.is_projection() {
            return Ok(Box::new(Plain(base)));
        }
        let scope = &scope.adapter();
        if self.form == Form::Merged {
            return self.merged(scope, site, base);
        }
        Ok(Box::new(self.adapted(scope, site, base)?))
    }

    fn neck(&self, scope: &Scope, channels: &[i64]) -> TensorResult<Option<Box<dyn Neck>>> {
        let neck = || self.config.spectra.neck(&scope.adapter(), channels, &self.tasks);
        self.config.filters.then(neck).transpose()
    }

    fn pyramid(&self) -> Pyramid {
        Pyramid::AfterMerging
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.config.frozen().trains(kinds)
    }

    /// The filters read the levels of all tasks.
    fn ask_for(&self, indices: Option<&[usize]>) -> bool {
        if self.config.filters {
            return false;
        }
        self.asked.set(indices);
        true
    }

    fn set_progress(&self, step: u64, steps: u64) {
        self.built.shrink(&self.factors, step, steps);
    }

    fn before_step(&self) {
        self.built.note(&self.factors);
    }

    fn penalty(&self) -> Option<Tensor> {
        self.built.penalty(&self.factors)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites.iter().filter(|site| site.is_projection()) {
            let path = &site.path;
            let weight = widened(&take(&mut merged, &format!("{path}.weight"))?);
            let mut changed = |place: &str| {
                let own = |name: &str| take(&mut merged, &format!("{path}.{place}{name}"));
                Ok(Adapted::taken(own, self.factors.form, self.factors.scale)?
                    .weight(&weight, false))
            };
            let shared = changed("")?;
            let tasks = self.tasks.iter().filter(|_| has_tasks(site));
            let own = tasks.map(|task| changed(&format!("{TASK}.{task}.")));
            let own: Vec<Tensor> = own.collect::<TensorResult<_>>()?;
            if !own.is_empty() {
                let own = Tensor::stack(&own, 0);
                put_task_weights(&mut merged, path, GROUP, &self.tasks, &own);
            }
            merged.insert(format!("{path}.weight"), shared);
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
        let message = |fields: Value, tasks: &[&str]| {
            let config: FaarConfig = serde_json::from_value(fields).unwrap();
            let tasks: Vec<String> = tasks.iter().map(|&task| task.into()).collect();
            config.plan(&tasks, Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"task_r": 0}), "task_r: expected at least 1, found 0"),
            (json!({"task_r": 1}), "rank_shrinking.floor: expected from 1 to task_r, 1, found 2"),
            (json!({"spectra": {"bins": 0}}), "bins: expected at least 1, found 0"),
        ] {
            assert_eq!(message(fields, &["sal"]), expected);
        }
        assert_eq!(message(json!({}), &[]), "tasks: expected at least one task, found none");
    }
}
