//! Free Sinewich: one low-rank base that every task reads at a frequency of its own (CVPR 2026,
//! arXiv 2603.21111).
//!
//! ```text
//! all blocks but the last of a stage    y = W x + b + s B A x
//! fc1, fc2 of the last block            y_t = (W + M_t) x_t + b
//! M = B K A,  M_t = LP(sin(omega_t M)) / sqrt(in),  omega_t = f s (tanh(W_q relu(p_t)) + c)
//! ```
//!
//! `A`: `[r, in]`, `B`: `[out, r]` and `K`: `[r, r]` are shared by the tasks, which differ in their
//! tokens `p_t` alone. `LP` is a Gaussian along the rows and columns of the matrix.
//!
//! There is no public code. Choices of ours: the layers, which follow from published counts; `K`
//! between channels alone, where those counts speak of 3 x 3 positions, so that `M_t` merges into a
//! weight per task; the gain `1 / sqrt(in)`, as Sine-LoRA has it; tokens feed the clock and join no
//! window; the shared stream of a switched layer reads `s B A x`. The published decoder, whose first
//! convolution is switched too, is not part of this method.

mod clock;
mod linear;
mod sine;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Linear, ParameterKinds, Plain, Plan, Projection, Pyramid, Result as TensorResult, Scope, Site,
    SiteKind, Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use clock::Clock;
use linear::{SineLinear, Switch};

use crate::blocks::asked::Asked;
use crate::blocks::body::Frozen;
use crate::blocks::kronecker::backbone_of;
use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::reweight::{Reweighted, TaskWeights, put_task_weights};
use crate::blocks::tasks::check_tasks;
use crate::blocks::tensors::{copy, take, widened};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Where merged weights of tasks lie.
const GROUP: &str = "sine_tasks";

/// Configuration of Free Sinewich.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FreeSinewichConfig {
    /// Rank of the factors, which are also the base; 32 and 64 as published.
    pub r: i64,
    /// Factor `s` on `B A x` of the shared stream, not divided by the rank.
    pub scale: f64,
    /// Probability with which an input of the shared factors is set to zero in training.
    pub lora_dropout: f64,
    /// `f`: frequencies lie between it and three times it at the start.
    pub frequency: f64,
    /// Length of a task's token.
    pub token_dim: i64,
    /// Whether `K` stands between the factors of a switched base.
    pub core: bool,
    /// Whether switched weights are smoothed.
    pub low_pass: bool,
    /// Keeps the patch embedding, its normalisation included, as it was.
    pub freeze_patch_embed: bool,
    /// Keeps the normalisation layers as they were, that of the patch embedding included.
    pub freeze_norm: bool,
    /// Keeps the relative-position tables as they were.
    pub freeze_relative_position_bias: bool,
    /// Keeps the matrices of patch merging as they were.
    pub freeze_downsample_reduction: bool,
}

impl Default for FreeSinewichConfig {
    fn default() -> Self {
        Self {
            r: 64,
            scale: 4.0,
            lora_dropout: 0.05,
            frequency: 100.0,
            token_dim: 96,
            core: true,
            low_pass: true,
            freeze_patch_embed: false,
            freeze_norm: false,
            freeze_relative_position_bias: false,
            freeze_downsample_reduction: true,
        }
    }
}

impl FreeSinewichConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        for (key, extent) in [("r", self.r), ("token_dim", self.token_dim)] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        if !self.scale.is_finite() {
            return Err(config("scale", "a finite number", self.scale));
        }
        if !(self.frequency > 0.0 && self.frequency.is_finite()) {
            return Err(config("frequency", "a positive number", self.frequency));
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

impl Part for FreeSinewichConfig {
    const NAME: &'static str = "free_sinewich";
    const SUMMARY: &'static str = "one low-rank base, switched to every task by a frequency";

    fn example() -> Self {
        Self { r: 4, ..Self::default() }
    }
}

impl Method for FreeSinewichConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        Ok(Rc::new(FreeSinewich { config, tasks, form, asked: Asked::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*sine_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

/// Whether the base of the layer at `site` is switched.
pub(super) fn is_switched(site: &Site) -> bool {
    site.last_in_stage && matches!(site.kind, SiteKind::Fc1 | SiteKind::Fc2)
}

#[derive(Debug)]
struct FreeSinewich {
    config: FreeSinewichConfig,
    tasks: Vec<String>,
    form: Form,
    asked: Asked,
}

impl FreeSinewich {
    fn is_adapted(site: &Site) -> bool {
        site.is_projection() && site.kind != SiteKind::Reduction
    }

    /// The clock of the backbone that `site` lies in; all switched layers share its parameters.
    fn clock(&self, scope: &Scope, site: &Site) -> TensorResult<Rc<Clock>> {
        let FreeSinewichConfig { token_dim, frequency, .. } = self.config;
        let backbone = backbone_of(scope, site);
        Ok(Rc::new(Clock::new(&backbone, &self.tasks, token_dim, frequency)?))
    }

    fn switch(&self, scope: &Scope, site: &Site) -> TensorResult<Switch> {
        let core = || sine::core(scope, self.config.r);
        Ok(Switch {
            core: self.config.core.then(core).transpose()?,
            clock: self.clock(scope, site)?,
            low_pass: self.config.low_pass,
        })
    }

    fn adapted(&self, scope: &Scope, site: &Site, base: Linear) -> TensorResult<SineLinear> {
        let shape = [site.in_features, site.out_features, self.config.r];
        let factors = LowRank::new(scope, ("sine_A", "sine_B"), shape, LowRankInit::Identity)?;
        let switch = is_switched(site).then(|| self.switch(scope, site)).transpose()?;
        let (scale, dropout) = (self.config.scale, self.config.lora_dropout);
        Ok(SineLinear { base, factors, scale, dropout, tasks: switch })
    }

    fn merged(
        &self,
        scope: &Scope,
        site: &Site,
        base: Linear,
    ) -> TensorResult<Box<dyn Projection>> {
        if !is_switched(site) {
            return Ok(Box::new(Plain(base)));
        }
        let reweight = TaskWeights::new(scope, GROUP, site, &self.tasks)?;
        Ok(Box::new(Reweighted::new(base, reweight, &self.asked)))
    }

    /// The clock of `tensors`, taken out of it.
    fn clock_in(&self, tensors: &mut Tensors) -> TensorResult<Rc<Clock>> {
        let mut own = |name: &str| take(tensors, name);
        let tokens = self.tasks.iter().map(|task| own(&format!("sine_token.{task}")));
        Ok(Rc::new(Clock {
            tokens: tokens.collect::<TensorResult<_>>()?,
            weight: own("sine_clock.weight")?,
            scale: own("sine_clock.scale")?,
            shift: own("sine_clock.shift")?,
            frequency: self.config.frequency,
        }))
    }
}

impl Plan for FreeSinewich {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if !Self::is_adapted(site) {
            return Ok(Box::new(Plain(base)));
        }
        let scope = &scope.adapter();
        if self.form == Form::Merged {
            return self.merged(scope, site, base);
        }
        Ok(Box::new(self.adapted(scope, site, base)?))
    }

    fn pyramid(&self) -> Pyramid {
        Pyramid::AfterMerging
    }

    /// Weights of tasks stand apart once they are merged.
    fn ask_for(&self, indices: Option<&[usize]>) -> bool {
        self.asked.set(indices);
        self.form == Form::Merged
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.config.frozen().trains(kinds)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = copy(tensors);
        let clock = self.clock_in(&mut merged)?;
        for site in sites.iter().filter(|site| Self::is_adapted(site)) {
            let path = &site.path;
            let mut own = |name: &str| take(&mut merged, &format!("{path}.{name}"));
            let weight = widened(&own("weight")?);
            let factors = LowRank { a: own("sine_A")?, b: own("sine_B")? };
            if is_switched(site) {
                let core = self.config.core.then(|| own("sine_core")).transpose()?;
                let (clock, low_pass) = (clock.clone(), self.config.low_pass);
                let weights = Switch { core, clock, low_pass }.weights(&weight, &factors);
                put_task_weights(&mut merged, path, GROUP, &self.tasks, &weights);
            }
            let shared = weight + factors.b.matmul(&factors.a) * self.config.scale;
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
            let config: FreeSinewichConfig = serde_json::from_value(fields).unwrap();
            let tasks: Vec<String> = tasks.iter().map(|&task| task.into()).collect();
            config.plan(&tasks, Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"token_dim": 0}), "token_dim: expected at least 1, found 0"),
            (json!({"frequency": -1.0}), "frequency: expected a positive number, found -1"),
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
