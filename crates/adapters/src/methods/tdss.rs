//! Skills that tasks share, gated by the task and the image, beside every MLP.
//!
//! ```text
//! y_t = F(x) + sum_k pi_{t,k} U_k gelu(D_k x)         pi_t = softmax(V [mean(x); e_t] / tau)
//! s_t <- s_t + beta Attention(s_t; [g; s_1; ..; s_T]) behind the stages
//! ```
//!
//! `D_k`: `[n, C]` and `U_k`: `[C, n]` are the `K` skills of a block; `e_t` is a task's token,
//! `[token_dim]`, the same in all blocks, and `V`: `[K, C + token_dim]`. `mean` goes over an image.
//! In the last block of a stage every task leaves the trunk with gates of its own; the shared stream,
//! and all other blocks, have the mean of the tasks' gates. `g` is the shared level and `s_t` a
//! task's; each is one token in the attention, its mean over the image. `U` and `beta` start at zero.
//!
//! It is made in the spirit of TDSS (AAAI 2026), of which an abstract is public: skills beside a
//! frozen model, gates of tasks, and an interaction of general and task features. Equations are ours.

mod interaction;
mod skills;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{Init, Neck, Parallel, Plan, Result as TensorResult, Scope, Site, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use interaction::Interaction;
use skills::Skills;

use crate::blocks::kronecker::backbone_of;
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of gated skills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TdssConfig {
    /// `K`: skills of a block.
    pub num_skills: i64,
    /// `n`: width of a skill.
    pub bottleneck: i64,
    /// Length of a task's token.
    pub token_dim: i64,
    /// `tau`: how soft the gates are.
    pub temperature: f64,
    /// Whether tasks read each other behind the stages.
    pub interaction: bool,
}

impl Default for TdssConfig {
    fn default() -> Self {
        Self { num_skills: 4, bottleneck: 16, token_dim: 64, temperature: 1.0, interaction: true }
    }
}

impl TdssConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        let extents = [
            ("num_skills", self.num_skills),
            ("bottleneck", self.bottleneck),
            ("token_dim", self.token_dim),
        ];
        if let Some((key, extent)) = extents.into_iter().find(|(_, extent)| *extent < 1) {
            return Err(config(key, "at least 1", extent));
        }
        match self.temperature > 0.0 && self.temperature.is_finite() {
            true => Ok(()),
            false => Err(config("temperature", "a positive number", self.temperature)),
        }
    }
}

impl Part for TdssConfig {
    const NAME: &'static str = "tdss";
    const SUMMARY: &'static str = "skills for all tasks beside MLPs, gated by task and image";

    fn example() -> Self {
        Self { num_skills: 3, bottleneck: 4, token_dim: 5, ..Self::default() }
    }
}

impl Method for TdssConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        Ok(Rc::new(Tdss { config: self.clone(), tasks: tasks.to_vec() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*tdss_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct Tdss {
    config: TdssConfig,
    tasks: Vec<String>,
}

impl Tdss {
    /// `e_t` of all tasks; every block finds the same.
    fn tokens(&self, scope: &Scope, site: &Site) -> TensorResult<Vec<Tensor>> {
        let scope = backbone_of(scope, site).pp("tdss_token");
        let shape = [self.config.token_dim];
        let token = |task: &String| scope.shared_param(task, &shape, Init::Normal(1.0));
        self.tasks.iter().map(token).collect()
    }
}

impl Plan for Tdss {
    fn parallel(&self, scope: &Scope, mlp: &Site) -> TensorResult<Option<Box<dyn Parallel>>> {
        let scope = &scope.adapter();
        let TdssConfig { num_skills, bottleneck, token_dim, temperature, .. } = self.config;
        let (width, inner) = (mlp.in_features, num_skills * bottleneck);
        let read = width + token_dim;
        Ok(Some(Box::new(Skills {
            down: scope.param("tdss_down", &[inner, width], Init::fan_in(width))?,
            up: scope.param("tdss_up", &[width, inner], Init::ZEROS)?,
            gate: scope.param("tdss_gate", &[num_skills, read], Init::fan_in(read))?,
            tokens: self.tokens(scope, mlp)?,
            temperature,
            parts: mlp.last_in_stage,
        })))
    }

    fn neck(&self, scope: &Scope, channels: &[i64]) -> TensorResult<Option<Box<dyn Neck>>> {
        if !self.config.interaction {
            return Ok(None);
        }
        let scope = scope.adapter().pp("tdss_beta");
        let beta = |level: usize| scope.param(level, &[1], Init::ZEROS);
        let betas = (0..channels.len()).map(beta).collect::<TensorResult<_>>()?;
        Ok(Some(Box::new(Interaction { betas })))
    }

    fn unmergeable(&self) -> Option<String> {
        Some("gates read the image, and no weight can hold what they choose".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: TdssConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for key in ["num_skills", "bottleneck", "token_dim"] {
            assert_eq!(message(json!({key: 0})), format!("{key}: expected at least 1, found 0"));
        }
        let found = message(json!({"temperature": 0.0}));
        assert_eq!(found, "temperature: expected a positive number, found 0");
    }
}
