//! ATTEMPT: prompts of every image as a mixture of source prompts (Asai et al., EMNLP 2022, arXiv
//! 2205.11961).
//!
//! ```text
//! P_inst = P_t + sum_j a_j P_j              j: the S sources and the target t;  P: [p, d]
//! x^ = max over tokens of X;  h = LN(W_up SiLU(W_down x^))       W_down: [100, d], no biases
//! a  = softmax_j(<max over tokens of P_j, h> / tau)
//! ```
//!
//! `P_inst` joins the tokens in front of the first block, whose input `X` is: the patch embeddings. The
//! sources are prompts of finished runs of the method `vpt`, which `compose.runs` of the recipe names,
//! and stay frozen. Every task has a prompt `P_t`, and so a stream, of its own; all tasks share `W_down`,
//! `W_up` and the norm.

use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_registry::Part;
use polyptych_tensor::{
    Init, LayerNorm, Parameter, Plan, Prompts, Result as TensorResult, Scope, Site, Tensor,
    Tensors, cast,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::blocks::prompts::{UNMERGEABLE, check_place};
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method, Sources};

/// PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// Configuration of ATTEMPT.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttemptConfig {
    /// `S`: how many runs the source prompts come from, as many as `compose.runs` has.
    pub sources: usize,
    /// `p`: prompts in front of the first block, as the sources have.
    pub num_tokens: i64,
    /// Rows of `W_down`.
    pub attention_dim: i64,
    /// `tau`: the constant of the published code.
    pub temperature: f64,
}

impl Default for AttemptConfig {
    fn default() -> Self {
        Self { sources: 2, num_tokens: 50, attention_dim: 100, temperature: 2000.0 }
    }
}

impl AttemptConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        if self.sources < 1 {
            return Err(config("sources", "at least 1", self.sources));
        }
        for (key, extent) in
            [("num_tokens", self.num_tokens), ("attention_dim", self.attention_dim)]
        {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        match self.temperature.is_finite() && self.temperature > 0.0 {
            true => Ok(()),
            false => Err(config("temperature", "a positive number", self.temperature)),
        }
    }
}

impl Part for AttemptConfig {
    const NAME: &'static str = "attempt";
    const SUMMARY: &'static str = "prompts of finished runs, mixed for each image by attention";

    fn example() -> Self {
        Self { num_tokens: 5, temperature: 1.0, ..Self::default() }
    }
}

impl Method for AttemptConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        Ok(Rc::new(Attempt { config: *self, tasks: tasks.to_vec() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*attempt_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }

    fn sources(&self) -> Option<Sources> {
        let adapter = json!({"method": "vpt", "deep": false, "num_tokens": self.num_tokens});
        Some(Sources {
            count: self.sources,
            adapter,
            take: Box::new(|run, index, _| Ok(take(run, index))),
        })
    }
}

/// The prompts of `run` under the name that the source at `index` has here.
fn take(run: &Tensors, index: usize) -> Tensors {
    let renamed = run.iter().filter_map(|(name, tensor)| {
        let site = name.strip_suffix("vpt_prompts")?;
        Some((format!("{site}attempt_source.{index}"), tensor.shallow_clone()))
    });
    renamed.collect()
}

#[derive(Debug)]
struct Attempt {
    config: AttemptConfig,
    tasks: Vec<String>,
}

impl Plan for Attempt {
    fn prompts(
        &self,
        scope: &Scope,
        block: &Site,
        [pixels, embed_dim]: [i64; 2],
    ) -> TensorResult<Option<Box<dyn Prompts>>> {
        if block.stage != 0 || !block.path.ends_with("blocks.0") {
            return Ok(None);
        }
        let AttemptConfig { sources, num_tokens, attention_dim, temperature } = self.config;
        let (dim, init) = (block.in_features, Init::glorot(pixels, embed_dim));
        let (own, frozen) = (scope.adapter(), scope.pp("attempt_source"));
        let (targets, g) = (own.pp("attempt_prompts"), own.pp("attempt_G"));
        let target = |task: &String| targets.param(task, &[num_tokens, dim], init);
        let source = |index: usize| frozen.buffer(index, &[num_tokens, dim], init);
        Ok(Some(Box::new(Mixture {
            sources: (0..sources).map(source).collect::<TensorResult<_>>()?,
            targets: self.tasks.iter().map(target).collect::<TensorResult<_>>()?,
            down: g.param("down", &[attention_dim, dim], Init::fan_in(dim))?,
            up: g.param("up", &[dim, attention_dim], Init::fan_in(attention_dim))?,
            norm: LayerNorm::new(&g.pp("norm"), dim, NORM_EPS)?,
            temperature,
        })))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        check_place("attempt", sites)
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.into())
    }
}

#[derive(Debug)]
struct Mixture {
    /// `P_j`: `[p, d]` of every source.
    sources: Vec<Tensor>,
    /// `P_t`: `[p, d]` of every task.
    targets: Vec<Tensor>,
    /// `W_down`: `[r, d]`.
    down: Tensor,
    /// `W_up`: `[d, r]`.
    up: Tensor,
    norm: LayerNorm,
    temperature: f64,
}

impl Mixture {
    /// `h`, `[batch, d]`, of `tokens`, `[batch, tokens, d]`.
    fn query(&self, tokens: &Tensor) -> Tensor {
        let kind = tokens.kind();
        let pooled = tokens.amax([1i64].as_slice(), false);
        let hidden = linear(&pooled, &cast(&self.down, kind), None).silu();
        self.norm.forward(&linear(&hidden, &cast(&self.up, kind), None))
    }

    /// `P_t + sum_j a_j P_j`, `[batch, p, d]`, of the task with the prompt `target`.
    fn mix(&self, target: &Tensor, query: &Tensor) -> Tensor {
        let kind = query.kind();
        let all: Vec<Tensor> =
            self.sources.iter().chain([target]).map(|prompt| cast(prompt, kind)).collect();
        let all = Tensor::stack(&all, 0);
        let keys = all.amax([1i64].as_slice(), false);
        let scores = linear(query, &keys, None) / self.temperature;
        let a = scores.softmax(-1, kind);
        let sum = a.matmul(&all.flatten(1, 2)).unflatten(-1, [all.size()[1], all.size()[2]]);
        sum + cast(target, kind).unsqueeze(0)
    }
}

impl Prompts for Mixture {
    /// As of an image for which all scores are equal.
    fn forward(&self, batch: i64, _train: bool) -> Tensor {
        let tasks = self.targets.len() as i64;
        let query = self.targets[0].zeros_like().narrow(0, 0, 1);
        let all: Vec<Tensor> = self.targets.iter().map(|target| self.mix(target, &query)).collect();
        Tensor::cat(&all, 0).repeat_interleave_self_int(batch / tasks, 0, None)
    }

    fn forward_among(&self, tokens: &Tensor, _train: bool) -> Tensor {
        // The streams of all tasks are one image's here.
        let images = tokens.size()[0] / self.targets.len() as i64;
        let query = self.query(&tokens.narrow(0, 0, images));
        let all: Vec<Tensor> = self.targets.iter().map(|target| self.mix(target, &query)).collect();
        Tensor::cat(&all, 0)
    }

    fn tasks(&self) -> Option<i64> {
        Some(self.targets.len() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind, Store};

    fn mixture(prompts: &[[f32; 2]]) -> Mixture {
        let store = Store::new(Device::Cpu);
        let prompt = |values: &[f32; 2]| Tensor::from_slice(values).view([1, 2]);
        let (target, sources) = prompts.split_last().unwrap();
        let ones = |shape: [i64; 2]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        Mixture {
            sources: sources.iter().map(prompt).collect(),
            targets: vec![prompt(target)],
            down: ones([3, 2]),
            up: Tensor::from_slice(&[1f32, 2.0, 3.0, -1.0, 0.0, 1.0]).view([2, 3]),
            norm: LayerNorm::new(&store.root(), 2, NORM_EPS).unwrap(),
            temperature: 1.0,
        }
    }

    fn near(found: &Tensor, expected: &[f64]) {
        let difference = found.to_kind(Kind::Double).view([-1]) - Tensor::from_slice(expected);
        assert!(difference.abs().max().double_value(&[]) < 1e-5, "{found:?}");
    }

    #[test]
    fn equal_scores_give_the_target_and_the_mean() {
        let mixture = mixture(&[[1.0, 2.0], [3.0, 5.0], [2.0, -1.0]]);
        near(&mixture.forward(2, false), &[4.0, 1.0, 4.0, 1.0]);
    }

    #[test]
    fn scores_weigh_the_prompts() {
        // The largest number of each prompt is its score for a query of (1, 0).
        let mixture = mixture(&[[0.2, 0.0], [-0.1, 0.0], [0.5, 0.0]]);
        let query = Tensor::from_slice(&[1f32, 0.0]).view([1, 2]);
        let a = [0.323554, 0.239694, 0.436752];
        near(
            &mixture.mix(&mixture.targets[0], &query),
            &[0.5 + a[0] * 0.2 - a[1] * 0.1 + a[2] * 0.5, 0.0],
        );
    }

    #[test]
    fn every_image_has_prompts_of_its_own_and_sources_stay() {
        let mixture = mixture(&[[1.0, 2.0], [3.0, -5.0], [2.0, -1.0]]);
        let target = mixture.targets[0].set_requires_grad(true);
        let images = Tensor::from_slice(&[1f32, 0.5, -2.0, 1.0]).view([2, 1, 2]);
        let found = mixture.forward_among(&images, true);
        assert_eq!(found.size(), [2, 1, 2]);
        assert!(!found.get(0).equal(&found.get(1)));
        found.sum(Kind::Float).backward();
        assert!(target.grad().defined());
        assert!(mixture.sources.iter().all(|source| !source.requires_grad()));
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |config: AttemptConfig| {
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        let config = AttemptConfig::default();
        for (config, expected) in [
            (AttemptConfig { sources: 0, ..config }, "sources: expected at least 1, found 0"),
            (AttemptConfig { num_tokens: 0, ..config }, "num_tokens: expected at least 1, found 0"),
            (
                AttemptConfig { attention_dim: 0, ..config },
                "attention_dim: expected at least 1, found 0",
            ),
            (
                AttemptConfig { temperature: 0.0, ..config },
                "temperature: expected a positive number, found 0",
            ),
        ] {
            assert_eq!(message(config), expected);
        }
    }
}
