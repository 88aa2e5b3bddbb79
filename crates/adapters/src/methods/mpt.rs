//! MPT: prompts of tasks as a shared prompt times factors of low rank (Wang et al., ICLR 2023, arXiv
//! 2303.02861); and deep prompts of tasks beside shared low-rank factors.
//!
//! ```text
//! P_t = P (.) (u_t v_t)          P: [p, d],  u_t: [p, r],  v_t: [r, d]
//! ```
//!
//! `P_t` joins the tokens in front of the first block, or of every block, in all windows of a Swin.
//! `u_t = 1 / r` and `v_t = 1` at the start, so that every task has `P`, which starts as in VPT; this
//! is our reading, and `factor_init` has the start of a public library.
//! Prompts that are `own` are free numbers of each task. `lora_r` puts low-rank factors beside `qkv`,
//! `proj`, `fc1` and `fc2`, which all tasks share.
//!
//! A target task begins with `P (.) mean_t (u_t v_t)` of a run of source tasks, in place of `P`
//! (`prompt_tuning_init`): the mean of products has a higher rank than a product, and so is no `u v`.
//! Teachers of single tasks are `[distil]` of a recipe. Every task has a stream of its own.

mod target;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Init, Linear, Parameter, Plain, Plan, Projection, Prompts, Result as TensorResult,
    Scope, Site, SiteKind, Tensor, Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use target::PromptTuningInit;
use target::target;

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::prompts::{UNMERGEABLE, check_place};
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method, Sources};

/// What the prompt of a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskPrompt {
    /// A shared prompt times the task's factors.
    #[default]
    Product,
    /// Numbers of the task's own.
    Own,
}

/// What the factors of a product start as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorInit {
    /// `u = 1 / r` and `v = 1`: every task has the shared prompt.
    #[default]
    Ones,
    /// Random values of standard deviation 0.02, as in PEFT: prompts start near 0.
    Normal,
}

/// Configuration of MPT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MptConfig {
    /// `p`: prompts in front of a block.
    pub num_tokens: i64,
    /// Whether every block has fresh prompts, not the first alone.
    pub deep: bool,
    /// What the prompt of a task is.
    pub prompt: TaskPrompt,
    /// Rank of the factors of a product; 1 as published.
    pub r: i64,
    /// What the factors of a product start as.
    pub factor_init: FactorInit,
    /// Rank of shared factors beside the weights; 0 for none.
    pub lora_r: i64,
    /// Factor on those, not divided by the rank.
    pub lora_scale: f64,
    /// What target tasks begin with, of the run of source tasks that `compose.runs` names; values of
    /// their own if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tuning_init: Option<PromptTuningInit>,
}

impl Default for MptConfig {
    fn default() -> Self {
        let prompt = TaskPrompt::Product;
        Self {
            num_tokens: 10,
            deep: false,
            prompt,
            r: 1,
            factor_init: FactorInit::Ones,
            lora_r: 0,
            lora_scale: 1.0,
            prompt_tuning_init: None,
        }
    }
}

impl MptConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        for (key, extent, least) in
            [("num_tokens", self.num_tokens, 1), ("r", self.r, 1), ("lora_r", self.lora_r, 0)]
        {
            if extent < least {
                return Err(config(key, format!("at least {least}"), extent));
            }
        }
        if self.prompt_tuning_init.is_some() && self.prompt == TaskPrompt::Own {
            let found = "own, of which sources share nothing";
            return Err(config("prompt", "product beside prompt_tuning_init", found));
        }
        match self.lora_scale.is_finite() {
            true => Ok(()),
            false => Err(config("lora_scale", "a finite number", self.lora_scale)),
        }
    }
}

impl Part for MptConfig {
    const NAME: &'static str = "mpt";
    const SUMMARY: &'static str = "prompts of tasks: a shared prompt times low-rank factors";

    fn example() -> Self {
        Self { num_tokens: 5, ..Self::default() }
    }
}

impl Method for MptConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        Ok(Rc::new(Mpt { config: self.clone(), tasks: tasks.to_vec() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*mpt_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }

    fn sources(&self) -> Option<Sources> {
        let init = self.prompt_tuning_init?;
        let adapter = json!({
            "method": "mpt",
            "num_tokens": self.num_tokens,
            "deep": self.deep,
            "prompt": self.prompt,
            "r": self.r,
            "lora_r": self.lora_r,
            "lora_scale": self.lora_scale,
        });
        let take = move |run: &Tensors, _: usize, _: &[String]| target(run, init);
        Some(Sources { count: 1, adapter, take: Box::new(take) })
    }
}

#[derive(Debug)]
struct Mpt {
    config: MptConfig,
    tasks: Vec<String>,
}

impl Mpt {
    fn by_task(
        &self,
        scope: &Scope,
        name: &str,
        shape: &[i64],
        init: Init,
    ) -> TensorResult<Vec<Tensor>> {
        let scope = scope.pp(name);
        self.tasks.iter().map(|task| scope.param(task, shape, init)).collect()
    }

    fn task_prompts(&self, scope: &Scope, dim: i64, init: Init) -> TensorResult<TaskPrompts> {
        let MptConfig { num_tokens, r, prompt, factor_init, .. } = self.config;
        let [ones, rth] = match factor_init {
            FactorInit::Ones => [Init::ONES, Init::Const(1.0 / r as f64)],
            FactorInit::Normal => [Init::Normal(0.02); 2],
        };
        Ok(match prompt {
            TaskPrompt::Own => {
                TaskPrompts::Own(self.by_task(scope, "mpt_prompts", &[num_tokens, dim], init)?)
            }
            TaskPrompt::Product => TaskPrompts::Product {
                shared: scope.param("mpt_prompt", &[num_tokens, dim], init)?,
                u: self.by_task(scope, "mpt_u", &[num_tokens, r], rth)?,
                v: self.by_task(scope, "mpt_v", &[r, dim], ones)?,
            },
        })
    }
}

impl Plan for Mpt {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let (r, scale) = (self.config.lora_r, self.config.lora_scale);
        if r == 0 || site.kind == SiteKind::Reduction {
            return Ok(Box::new(Plain(base)));
        }
        let shape = [site.in_features, site.out_features, r];
        let names = ("mpt_lora_A", "mpt_lora_B");
        let factors = LowRank::new(&scope.adapter(), names, shape, LowRankInit::Identity)?;
        Ok(Box::new(SharedLora { base, factors, scale }))
    }

    fn prompts(
        &self,
        scope: &Scope,
        block: &Site,
        [pixels, embed_dim]: [i64; 2],
    ) -> TensorResult<Option<Box<dyn Prompts>>> {
        let first = block.stage == 0 && block.path.ends_with("blocks.0");
        if !(first || self.config.deep) {
            return Ok(None);
        }
        let init = Init::glorot(pixels, embed_dim);
        let prompts = self.task_prompts(&scope.adapter(), block.in_features, init)?;
        Ok(Some(Box::new(prompts)))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        check_place("mpt", sites)
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.into())
    }
}

#[derive(Debug)]
enum TaskPrompts {
    /// `P`: `[p, d]`, `u`: `[p, r]` and `v`: `[r, d]` of every task.
    Product { shared: Tensor, u: Vec<Tensor>, v: Vec<Tensor> },
    /// `[p, d]` of every task.
    Own(Vec<Tensor>),
}

impl TaskPrompts {
    /// `P_t`, `[tasks, p, d]`.
    fn all(&self) -> Tensor {
        match self {
            Self::Own(tasks) => Tensor::stack(tasks, 0),
            Self::Product { shared, u, v } => {
                Tensor::stack(u, 0).matmul(&Tensor::stack(v, 0)) * shared.unsqueeze(0)
            }
        }
    }
}

impl Prompts for TaskPrompts {
    fn forward(&self, batch: i64, _train: bool) -> Tensor {
        let all = self.all();
        all.repeat_interleave_self_int(batch / all.size()[0], 0, None)
    }

    fn tasks(&self) -> Option<i64> {
        let (Self::Product { u: tasks, .. } | Self::Own(tasks)) = self;
        Some(tasks.len() as i64)
    }
}

/// `W x + b + s B A x` for every stream.
#[derive(Debug)]
struct SharedLora {
    base: Linear,
    factors: LowRank,
    scale: f64,
}

impl Projection for SharedLora {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        x.map(|t| self.factors.beside(&self.base, t, self.scale, 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn prompts_are_the_shared_one_times_factors() {
        let of = |values: &[f32], columns| Tensor::from_slice(values).view([-1, columns]);
        let prompts = TaskPrompts::Product {
            shared: of(&[1.0, 2.0, 3.0, 4.0], 2),
            u: vec![of(&[0.5, -1.0], 1), of(&[1.0, 1.0], 1)],
            v: vec![of(&[2.0, 1.0], 2), of(&[1.0, 1.0], 2)],
        };
        // Two images of each task, task by task.
        let found = prompts.forward(4, true);
        let expected = [1.0f32, 1.0, -6.0, -4.0];
        for (image, expected) in [expected, expected, [1.0, 2.0, 3.0, 4.0]].iter().enumerate() {
            assert_eq!(found.get(image as i64), of(expected, 2), "{image}");
        }
    }

    #[test]
    fn factors_start_as_ones_or_near_zero() {
        let store = polyptych_tensor::Store::new(polyptych_tensor::Device::Cpu);
        let prompts = |name: &str, fields: Value| {
            let config: MptConfig = serde_json::from_value(fields).unwrap();
            let plan = Mpt { config, tasks: vec!["sal".into(), "edge".into()] };
            let own = plan.task_prompts(&store.root().pp(name), 6, Init::Normal(1.0)).unwrap();
            let TaskPrompts::Product { shared, .. } = &own else { panic!("a product") };
            (shared.shallow_clone(), own.all())
        };
        for r in [1, 4] {
            let (shared, all) = prompts(&format!("ones{r}"), json!({"r": r}));
            assert!((all - shared).abs().max().double_value(&[]) < 1e-6, "{r}");
        }
        let (shared, all) = prompts("normal", json!({"factor_init": "normal"}));
        let part = all.abs().max() / shared.abs().max();
        assert!(part.double_value(&[]) < 0.05 && !all.get(0).equal(&all.get(1)));
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: MptConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"num_tokens": 0}), "num_tokens: expected at least 1, found 0"),
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (
                json!({"prompt": "own", "prompt_tuning_init": "average_source_tasks"}),
                "prompt: expected product beside prompt_tuning_init, found own, of which sources share nothing",
            ),
            (json!({"lora_r": -1}), "lora_r: expected at least 0, found -1"),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
