//! TADFormer: prompts of tasks condition what tasks read of an image, and filters that depend on the
//! input adapt it (CVPR 2025, arXiv 2501.04293).
//!
//! ```text
//! all blocks but the last of a stage    y = W x + b + s B A x
//! attention of the last block           g_t = gelu(a_t) * x,  a_t = q_p k_x^T;   f_t = LN(x + g_t)
//! proj, fc1, fc2 of the last block      y_t = W x + b + s B DTF(A f_t)
//! behind the last block                 sigma(c) g_t + (1 - sigma(c)) y_t
//! DTF(u) = u * theta, 3 x 3 per channel,   theta = FilterNorm(P mean(u) + d)
//! ```
//!
//! `A`: `[r, in]` and `B`: `[out, r]` serve the shared stream and all tasks; `P`: `[9 r, r]`. One prompt
//! for each task, `[dim]`, joins every window of every block, and widens by a matrix `[2 dim, dim]`
//! between stages. `a_t` is taken before the scale of attention, head by head. In `proj` the filter
//! slides over a window, in `fc1` and `fc2` over the map of the stage.
//!
//! Departures from the released code: the filter is the paper's, where that code has one that does
//! not read the input (`filter = "static"` here); `g_t` keeps its place in the window, where that
//! code mixes places and channels; norms of prompts stand only where they are read; dropout applies
//! to what `A` reads, in all three layers; prompts start at `N(1, 1)` cut at -1 and 3.

mod filter;
mod linear;
mod prompts;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Error as TensorError, Linear, Parameter, ParameterKinds, Plain, Plan, Projection, Pyramid,
    Result as TensorResult, Scope, Site, SiteKind, TaskPrompts,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use filter::Filter;
use linear::TadLinear;
use prompts::{Guide, Source};

use crate::blocks::body::Frozen;
use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::prompts::UNMERGEABLE;
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// What stands between the factors on the way of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskFilter {
    /// The dynamic task filter of the paper, which reads its input.
    Dynamic,
    /// A filter of each task's own, the same for all inputs, as in the released code.
    Static,
    /// Nothing.
    None,
}

/// Configuration of TADFormer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TadFormerConfig {
    /// Rank of the factors; 16, 32 and 64 as published.
    pub r: i64,
    /// Factor `s` on `B A x`, not divided by the rank.
    pub scale: f64,
    /// Probability with which an input of the factors is set to zero in training.
    pub lora_dropout: f64,
    /// What stands between the factors on the way of a task.
    pub filter: TaskFilter,
    /// Keeps the patch embedding, its normalisation included, as it was.
    pub freeze_patch_embed: bool,
    /// Keeps the normalisation layers as they were, that of the patch embedding included.
    pub freeze_norm: bool,
    /// Keeps the relative-position tables as they were.
    pub freeze_relative_position_bias: bool,
    /// Keeps the matrices of patch merging as they were.
    pub freeze_downsample_reduction: bool,
}

impl Default for TadFormerConfig {
    fn default() -> Self {
        Self {
            r: 64,
            scale: 4.0,
            lora_dropout: 0.05,
            filter: TaskFilter::Dynamic,
            freeze_patch_embed: false,
            freeze_norm: false,
            freeze_relative_position_bias: false,
            freeze_downsample_reduction: true,
        }
    }
}

impl TadFormerConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        if self.r < 1 {
            return Err(config("r", "at least 1", self.r));
        }
        if !self.scale.is_finite() {
            return Err(config("scale", "a finite number", self.scale));
        }
        match (0.0..1.0).contains(&self.lora_dropout) {
            true => Ok(()),
            false => Err(config("lora_dropout", "at least 0 and below 1", self.lora_dropout)),
        }
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

impl Part for TadFormerConfig {
    const NAME: &'static str = "tadformer";
    const SUMMARY: &'static str = "prompts of tasks and filters that read their input (TADFormer)";

    fn example() -> Self {
        Self { r: 4, ..Self::default() }
    }
}

impl Method for TadFormerConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        Ok(Rc::new(TadFormer { config: self.clone(), tasks: tasks.to_vec() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*tad_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct TadFormer {
    config: TadFormerConfig,
    tasks: Vec<String>,
}

impl TadFormer {
    fn filter(&self, scope: &Scope, site: &Site) -> TensorResult<Filter> {
        match self.config.filter {
            TaskFilter::Dynamic => Filter::dynamic(scope, self.config.r),
            TaskFilter::Static => Filter::of_tasks(scope, site.stage, self.config.r, &self.tasks),
            TaskFilter::None => Ok(Filter::None),
        }
    }
}

/// Whether tasks have streams of their own behind the layer at `site`.
fn has_tasks(site: &Site) -> bool {
    site.last_in_stage && matches!(site.kind, SiteKind::Proj | SiteKind::Fc1 | SiteKind::Fc2)
}

impl Plan for TadFormer {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if site.kind == SiteKind::Reduction {
            return Ok(Box::new(Plain(base)));
        }
        let scope = &scope.adapter();
        let TadFormerConfig { r, scale, lora_dropout: dropout, .. } = self.config;
        let shape = [site.in_features, site.out_features, r];
        let factors = LowRank::new(scope, ("tad_A", "tad_B"), shape, LowRankInit::Identity)?;
        let filter = has_tasks(site).then(|| self.filter(scope, site)).transpose()?;
        Ok(Box::new(TadLinear { base, factors, scale, dropout, filter }))
    }

    fn task_prompts(
        &self,
        scope: &Scope,
        block: &Site,
    ) -> TensorResult<Option<Box<dyn TaskPrompts>>> {
        let scope = &scope.adapter();
        let source = match (block.path.ends_with("blocks.0"), block.stage) {
            (true, 0) => Source::start(scope, block.in_features, &self.tasks)?,
            (true, _) => Source::widened(scope, block.in_features)?,
            (false, _) => Source::Before,
        };
        Ok(Some(Box::new(Guide::new(scope, block, source)?)))
    }

    fn check(&self, _sites: &[Site], parameters: &[Parameter]) -> TensorResult<()> {
        match parameters.iter().any(|parameter| parameter.name.contains("tad_prompts")) {
            true => Ok(()),
            false => Err(TensorError::Config {
                key: "adapter".into(),
                expected: "a backbone whose windows take prompts of tasks, a Swin of the first \
                           version"
                    .into(),
                found: "tadformer on one without".into(),
            }),
        }
    }

    fn pyramid(&self) -> Pyramid {
        Pyramid::AfterMerging
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.config.frozen().trains(kinds)
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value, tasks: &[&str]| {
            let config: TadFormerConfig = serde_json::from_value(fields).unwrap();
            let tasks: Vec<String> = tasks.iter().map(|&task| task.into()).collect();
            config.plan(&tasks, Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (
                json!({"lora_dropout": 1.0}),
                "lora_dropout: expected at least 0 and below 1, found 1",
            ),
        ] {
            assert_eq!(message(fields, &["sal"]), expected);
        }
        assert_eq!(message(json!({}), &[]), "tasks: expected at least one task, found none");
    }
}
