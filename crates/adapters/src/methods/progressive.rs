//! Progressive task-specific adaptation: tasks share low-rank factors in early stages and part, group
//! by group, in later ones (AISTATS 2026, arXiv 2509.19602).
//!
//! ```text
//! y_t = W x_t + b + (alpha / r) B_g A_g x_t        g: the group of task t in the stage
//! ```
//!
//! `groups` says who belongs together in every stage. A group only ever splits. As long as there is
//! one group, all tasks share one stream; from the first split on every task has its own. It merges.
//!
//! Groups are the recipe's, or with `num_groups` they are found before training by the similarity of the
//! tasks' gradients, as in the paper.

mod groups;
mod linear;
mod similarity;

use std::rc::Rc;

use polyptych_registry::{DynPart, Part, Value};
use polyptych_tensor::{
    Error as TensorError, Linear, Parameter, Plain, Plan, Projection, Result as TensorResult,
    Scope, Site, Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use groups::{check_groups, groups_of};
use linear::{GroupedLinear, weights};
use similarity::{check_numbers, groups};

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::reweight::{OwnWeights, TaskWeights, put_task_weights};
use crate::blocks::targets::{TargetModules, Targets};
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Grouping, Method};

/// Where merged weights of tasks lie.
const GROUP: &str = "progressive_tasks";

/// Configuration of progressive task-specific adaptation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProgressiveConfig {
    /// Rank of every group's factors.
    pub r: i64,
    /// Numerator of the scale `lora_alpha / r`.
    pub lora_alpha: f64,
    /// For every stage the groups of tasks. Where it is empty all tasks are one group but in the last
    /// stage, where each is one of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<Vec<String>>>,
    /// How many groups every stage has, where `groups` are to be found by similarity: `[1, 1, 2, 4]`.
    /// The run's own recipe has the groups that were found in its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub num_groups: Vec<usize>,
    /// How many batches similarity is measured on.
    pub similarity_batches: usize,
    /// Which projections carry factors; parts of a fused `qkv` have none of their own.
    pub target_modules: TargetModules,
}

impl Default for ProgressiveConfig {
    fn default() -> Self {
        let names = ["qkv", "proj", "fc1", "fc2"].map(str::to_owned).to_vec();
        let target_modules = TargetModules::Names(names);
        Self {
            r: 8,
            lora_alpha: 8.0,
            groups: Vec::new(),
            num_groups: Vec::new(),
            similarity_batches: 8,
            target_modules,
        }
    }
}

impl ProgressiveConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        if self.r < 1 {
            return Err(config("r", "at least 1", self.r));
        }
        if !(self.lora_alpha > 0.0 && self.lora_alpha.is_finite()) {
            return Err(config("lora_alpha", "a positive number", self.lora_alpha));
        }
        check_groups(&self.groups, tasks)?;
        check_numbers(&self.num_groups, tasks.len())?;
        if !self.num_groups.is_empty() && !self.groups.is_empty() {
            return Err(config("num_groups", "none beside groups, which say all", "some"));
        }
        if self.similarity_batches == 0 {
            return Err(config("similarity_batches", "at least 1", 0));
        }
        self.target_modules.validate()
    }
}

impl Part for ProgressiveConfig {
    const NAME: &'static str = "progressive";
    const SUMMARY: &'static str =
        "low-rank factors of groups of tasks, which part from stage to stage";

    fn example() -> Self {
        Self { r: 2, ..Self::default() }
    }
}

impl Method for ProgressiveConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let targets = Targets::new(&self.target_modules)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        Ok(Rc::new(Progressive { config, tasks, form, targets }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*progressive_*"]
    }

    fn task_lists(&self) -> &'static [&'static str] {
        &["groups"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }

    fn grouping(&self, tasks: &[String]) -> Option<Grouping> {
        let stages = self.num_groups.len();
        let together = Self {
            groups: vec![vec![tasks.to_vec()]; stages],
            num_groups: Vec::new(),
            ..self.clone()
        };
        (stages > 0).then(|| Grouping {
            together: together.to_value(),
            batches: self.similarity_batches,
            stages,
        })
    }

    fn grouped(&self, tasks: &[String], similarities: &[Vec<Vec<f64>>]) -> Value {
        let groups = groups(tasks, &self.num_groups, similarities);
        Self { groups, num_groups: Vec::new(), ..self.clone() }.to_value()
    }
}

#[derive(Debug)]
struct Progressive {
    config: ProgressiveConfig,
    tasks: Vec<String>,
    form: Form,
    targets: Targets,
}

impl Progressive {
    /// The group of every task at `site`.
    fn groups(&self, site: &Site) -> TensorResult<Vec<usize>> {
        let (stages, count) = (&self.config.groups, self.tasks.len());
        match stages.get(site.stage) {
            _ if !self.config.num_groups.is_empty() => self.not_found_yet(site),
            _ if stages.is_empty() && site.last_stage => Ok((0..count).collect()),
            _ if stages.is_empty() => Ok(vec![0; count]),
            Some(_) if site.last_stage && stages.len() != site.stage + 1 => {
                Err(self.other_stages(site.stage + 1))
            }
            Some(groups) => Ok(groups_of(groups, &self.tasks)),
            None => Err(self.other_stages(site.stage + 1)),
        }
    }

    /// As many groups as there will be, of tasks in their order: training finds the groups before its
    /// first step, and whoever counts parameters need not know them.
    fn not_found_yet(&self, site: &Site) -> TensorResult<Vec<usize>> {
        let numbers = &self.config.num_groups;
        let other = site.last_stage && numbers.len() != site.stage + 1;
        match numbers.get(site.stage).filter(|_| !other) {
            Some(number) => Ok((0..self.tasks.len()).map(|task| task.min(number - 1)).collect()),
            None => Err(self.other_stages(site.stage + 1)),
        }
    }

    fn other_stages(&self, stages: usize) -> TensorError {
        let (key, found) = match self.config.num_groups.len() {
            0 => ("groups", format!("{} lists", self.config.groups.len())),
            numbers => ("num_groups", format!("{numbers} numbers")),
        };
        let each = if key == "groups" { "list" } else { "number" };
        TensorError::Config {
            key: key.into(),
            expected: format!("one {each} per stage of the backbone, which has {stages} or more"),
            found,
        }
    }

    fn scaling(&self) -> f64 {
        self.config.lora_alpha / self.config.r as f64
    }

    fn pairs(&self, scope: &Scope, site: &Site, groups: &[usize]) -> TensorResult<Vec<LowRank>> {
        let shape = [site.in_features, site.out_features, self.config.r];
        let pair = |group: usize| {
            let names = (format!("progressive_A.{group}"), format!("progressive_B.{group}"));
            LowRank::new(scope, (&names.0, &names.1), shape, LowRankInit::Identity)
        };
        (0..count_of(groups)).map(pair).collect()
    }

    fn merged(
        &self,
        scope: &Scope,
        site: &Site,
        (base, groups): (Linear, &[usize]),
    ) -> TensorResult<Box<dyn Projection>> {
        if count_of(groups) == 1 {
            return Ok(Box::new(Plain(base)));
        }
        let weights = TaskWeights::new(scope, GROUP, site, &self.tasks)?;
        Ok(Box::new(OwnWeights { base, weights }))
    }
}

/// How many groups there are.
fn count_of(groups: &[usize]) -> usize {
    groups.iter().max().map_or(0, |last| last + 1)
}

impl Plan for Progressive {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !self.targets.adapts(site) {
            return Ok(Box::new(Plain(base)));
        }
        let (scope, groups) = (&scope.adapter(), self.groups(site)?);
        if self.form == Form::Merged {
            return self.merged(scope, site, (base, &groups));
        }
        let pairs = self.pairs(scope, site, &groups)?;
        Ok(Box::new(GroupedLinear { base, pairs, groups, scaling: self.scaling() }))
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
            let (path, groups) = (&site.path, self.groups(site)?);
            let mut own = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            let weight = own("weight")?;
            let pair = |group: usize| {
                let a = own(&format!("progressive_A.{group}"))?;
                Ok(LowRank { a, b: own(&format!("progressive_B.{group}"))? })
            };
            let pairs = (0..count_of(&groups)).map(pair).collect::<TensorResult<Vec<_>>>()?;
            let own = weights(&widened(&weight), &pairs, &groups, self.scaling());
            if pairs.len() == 1 {
                merged.insert(format!("{path}.weight"), own.get(0));
                continue;
            }
            put_task_weights(&mut merged, path, GROUP, &self.tasks, &own);
            merged.insert(format!("{path}.weight"), weight);
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, SiteKind, Store};
    use serde_json::{Value, json};

    fn tasks() -> Vec<String> {
        ["depth", "edge", "sal"].map(str::to_owned).to_vec()
    }

    fn plan(fields: Value) -> Result<Rc<dyn Plan>> {
        let config: ProgressiveConfig = serde_json::from_value(fields).unwrap();
        config.plan(&tasks(), Form::Adapted)
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| plan(fields).unwrap_err().to_string();
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"num_groups": [1, 4]}), "num_groups.1: expected from 1 to 3 groups, found 4"),
            (
                json!({"num_groups": [1], "groups": [[["depth", "edge", "sal"]]]}),
                "num_groups: expected none beside groups, which say all, found some",
            ),
            (json!({"similarity_batches": 0}), "similarity_batches: expected at least 1, found 0"),
            (json!({"lora_alpha": 0.0}), "lora_alpha: expected a positive number, found 0"),
            (
                json!({"groups": [[["depth", "edge"]]]}),
                "groups.0: expected every task once, found no group with sal",
            ),
        ] {
            assert_eq!(message(fields), expected);
        }
    }

    #[test]
    fn there_is_one_list_per_stage() {
        let all = json!([["depth", "edge", "sal"]]);
        let site = |stage, last_stage| Site {
            path: "fc1".into(),
            kind: SiteKind::Fc1,
            in_features: 4,
            out_features: 4,
            bias: true,
            stage,
            last_in_stage: false,
            last_stage,
        };
        for (stages, stage, last, expected) in [
            (1, 1, true, "which has 2 or more, found 1 lists"),
            (3, 1, true, "which has 2 or more, found 3 lists"),
        ] {
            let plan = plan(json!({"groups": vec![all.clone(); stages]})).unwrap();
            let scope = Store::new(Device::Cpu).root();
            let message = plan.projection(&scope, &site(stage, last)).unwrap_err().to_string();
            assert!(message.ends_with(expected), "{message}");
        }
    }
}
