//! DiTASK: tasks change the singular values of frozen weights by diffeomorphisms (CVPR 2025, arXiv
//! 2502.06029).
//!
//! ```text
//! W = U diag(s) V^T,   W' = U diag(f_theta(s)) V^T
//! ```
//!
//! `f_theta` is the flow of a velocity on `[0, 1]` that is affine in each of `P` equal cells;
//! `theta` are its values between them. All blocks have a joint `theta`, and `proj`, `fc1` and `fc2`
//! of the last block of a stage one for every task. A fused `qkv` is three matrices with one `theta`.
//! `f` is monotone, so that singular values keep their order. It merges, per task.
//!
//! The published code resamples the sorted values along their index, starts at a random `theta` and
//! decomposes weights in every step. Here `f` acts on `s / max(s)`, `theta` starts at zero, which is
//! the plain backbone, and weights are decomposed once.

mod cpab;
mod spectrum;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Linear, ParameterKinds, Plain, Plan, Projection, Pyramid, Result as TensorResult, Scope,
    Site, SiteKind, Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use spectrum::Spectrum;

use crate::blocks::asked::Asked;
use crate::blocks::body::Frozen;
use crate::blocks::reweight::{Reweight, Reweighted, TaskWeights, put_task_weights};
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Where merged weights of tasks lie.
const GROUP: &str = "ditask_tasks";

/// Configuration of DiTASK.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiTaskConfig {
    /// `P` of the joint diffeomorphisms, which have `P - 1` numbers each.
    pub cells: i64,
    /// `P` of those of tasks; the released configuration of Swin-T has 5.
    pub task_cells: i64,
    /// Whether the largest singular value may move too, by one number more.
    pub free_end: bool,
    /// Keeps the patch embedding, its normalisation included, as it was.
    pub freeze_patch_embed: bool,
    /// Keeps the normalisation layers as they were, that of the patch embedding included.
    pub freeze_norm: bool,
    /// Keeps the relative-position tables as they were.
    pub freeze_relative_position_bias: bool,
    /// Keeps the matrices of patch merging as they were.
    pub freeze_downsample_reduction: bool,
}

impl Default for DiTaskConfig {
    fn default() -> Self {
        Self {
            cells: 64,
            task_cells: 64,
            free_end: false,
            freeze_patch_embed: false,
            freeze_norm: false,
            freeze_relative_position_bias: false,
            freeze_downsample_reduction: false,
        }
    }
}

impl DiTaskConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        let least = if self.free_end { 1 } else { 2 };
        for (key, cells) in [("cells", self.cells), ("task_cells", self.task_cells)] {
            if cells < least {
                return Err(config(key, format!("at least {least}"), cells));
            }
        }
        Ok(())
    }

    /// Length of the `theta` of a velocity on `cells`.
    fn length(&self, cells: i64) -> i64 {
        if self.free_end { cells } else { cells - 1 }
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

impl Part for DiTaskConfig {
    const NAME: &'static str = "ditask";
    const SUMMARY: &'static str = "diffeomorphisms of the singular values of weights";

    fn example() -> Self {
        Self { cells: 8, task_cells: 8, ..Self::default() }
    }
}

impl Method for DiTaskConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        Ok(Rc::new(DiTask { config, tasks, form, asked: Asked::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*ditask_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct DiTask {
    config: DiTaskConfig,
    tasks: Vec<String>,
    form: Form,
    asked: Asked,
}

/// An adapted site.
#[derive(Debug, Clone, Copy)]
struct Built {
    parts: i64,
    has_tasks: bool,
}

impl Built {
    /// Nothing where the site is not adapted.
    fn at(site: &Site) -> Option<Self> {
        match site.kind {
            SiteKind::Qkv => Some(Self { parts: 3, has_tasks: false }),
            SiteKind::Q | SiteKind::Kv => {
                Some(Self { parts: site.out_features / site.in_features, has_tasks: false })
            }
            SiteKind::Proj | SiteKind::Fc1 | SiteKind::Fc1Gate | SiteKind::Fc2 => {
                Some(Self { parts: 1, has_tasks: site.last_in_stage })
            }
            SiteKind::Reduction | SiteKind::Mlp | SiteKind::Block => None,
        }
    }
}

impl DiTask {
    fn spectrum(&self, scope: &Scope, site: &Site, built: Built) -> TensorResult<Spectrum> {
        let DiTaskConfig { cells, task_cells, free_end, .. } = self.config;
        let scope = &scope.adapter();
        let theta =
            |name: String, cells| scope.param(name, &[self.config.length(cells)], Init::ZEROS);
        let joint = theta("ditask_joint".into(), cells)?;
        let tasks = if built.has_tasks { self.tasks.as_slice() } else { &[] };
        let tasks = tasks.iter().map(|task| theta(format!("ditask_theta.{task}"), task_cells));
        let tasks = tasks.collect::<TensorResult<_>>()?;
        // Nobody reads the shared stream once tasks have left it in the very last block.
        if built.has_tasks && site.last_stage {
            scope.store().mark_unused(&format!("{}.ditask_joint", scope.path()))?;
        }
        Ok(Spectrum::new(joint, tasks, built.parts, free_end))
    }

    fn merged(
        &self,
        scope: &Scope,
        site: &Site,
        base: Linear,
        built: Built,
    ) -> TensorResult<Box<dyn Projection>> {
        if !built.has_tasks {
            return Ok(Box::new(Plain(base)));
        }
        let reweight = TaskWeights::new(&scope.adapter(), GROUP, site, &self.tasks)?;
        Ok(Box::new(Reweighted::new(base, reweight, &self.asked)))
    }
}

impl Plan for DiTask {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let Some(built) = Built::at(site) else { return Ok(Box::new(Plain(base))) };
        if self.form == Form::Merged {
            return self.merged(scope, site, base, built);
        }
        let reweight = self.spectrum(scope, site, built)?;
        Ok(Box::new(Reweighted::new(base, reweight, &self.asked)))
    }

    fn pyramid(&self) -> Pyramid {
        Pyramid::AfterMerging
    }

    fn ask_for(&self, indices: Option<&[usize]>) -> bool {
        self.asked.set(indices);
        true
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.config.frozen().trains(kinds)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        for site in sites {
            let Some(built) = Built::at(site) else { continue };
            let path = &site.path;
            let mut own = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            let weight = widened(&own("weight")?);
            let joint = own("ditask_joint")?;
            let tasks = if built.has_tasks { self.tasks.as_slice() } else { &[] };
            let thetas = tasks.iter().map(|task| own(&format!("ditask_theta.{task}")));
            let thetas = thetas.collect::<TensorResult<_>>()?;
            let spectrum = Spectrum::new(joint, thetas, built.parts, self.config.free_end);
            if let Some(weights) = spectrum.tasks(&weight) {
                put_task_weights(&mut merged, path, GROUP, tasks, &weights);
            }
            merged.insert(format!("{path}.weight"), spectrum.shared(&weight));
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
            let config: DiTaskConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        assert_eq!(message(json!({"cells": 1})), "cells: expected at least 2, found 1");
        let free = json!({"task_cells": 0, "free_end": true});
        assert_eq!(message(free), "task_cells: expected at least 1, found 0");
    }
}
