//! ATTEMPT: prompts, or adapters, of every image as a mixture of those of finished runs (Asai et al.,
//! EMNLP 2022, arXiv 2205.11961).
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
//!
//! Of adapters, `y` is the output of `mlp.fc2` in every block, and what goes on is
//!
//! ```text
//! y + o_t(y) + sum_j a_j o_j(y)             o_j(y) = sigma(y W_d + b_d) W_u + b_u  of source or target j
//! ```
//!
//! with `h` of `y` in place of `X` and `o_j(y)` in place of `P_j`: what an adapter adds to the tokens of
//! this image stands where a prompt's tokens stand. The sources are of the method `adapter`, the way up of
//! `o_t` starts at zero, and layers of one width share `W_down`, `W_up` and the norm.

mod adapters;
mod attention;
mod prompts;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Linear, Parameter, Plain, Plan, Projection, Prompts, Result as TensorResult, Scope, Site,
    Tensors,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use adapters::AdapterMixture;
use attention::{Attention, AttentionOptions};
use prompts::PromptMixture;

use crate::blocks::activation::{InitWeights, NonLinearity};
use crate::blocks::bottleneck::BottleneckOptions;
use crate::blocks::kronecker::backbone_of;
use crate::blocks::prompts::{UNMERGEABLE, check_place};
use crate::blocks::sources::{Adapter, place, settings, take};
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method, Sources};

/// Why a model with mixtures of adapters cannot be merged.
const MIXED: &str = "every image has shares of its own in the adapters, which no weight can hold";

/// What is mixed for every image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// Prompts in front of the first block, as published.
    #[default]
    Prompts,
    /// Adapters behind the MLP of every block.
    Adapters,
}

/// Configuration of ATTEMPT.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttemptConfig {
    /// `S`: how many runs the sources come from, as many as `compose.runs` has.
    pub sources: usize,
    /// What is mixed, and so what the sources have.
    pub mix: Mix,
    /// `p`: prompts in front of the first block, as the sources have.
    pub num_tokens: i64,
    /// Width of the stream per width of an adapter's bottleneck, as the sources have.
    pub reduction_factor: i64,
    /// Activation of an adapter's bottleneck, as the sources have.
    pub non_linearity: NonLinearity,
    /// Rows of `W_down`.
    pub attention_dim: i64,
    /// `tau`: the constant of the published code.
    pub temperature: f64,
}

impl Default for AttemptConfig {
    fn default() -> Self {
        Self {
            sources: 2,
            mix: Mix::Prompts,
            num_tokens: 50,
            reduction_factor: 16,
            non_linearity: NonLinearity::Relu,
            attention_dim: 100,
            temperature: 2000.0,
        }
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
        self.bottlenecks().validate()?;
        match self.temperature.is_finite() && self.temperature > 0.0 {
            true => Ok(()),
            false => Err(config("temperature", "a positive number", self.temperature)),
        }
    }

    fn bottlenecks(&self) -> BottleneckOptions {
        BottleneckOptions {
            mh_adapter: false,
            output_adapter: true,
            reduction_factor: self.reduction_factor,
            multiple: 1,
            non_linearity: self.non_linearity,
            init_weights: InitWeights::Identity,
        }
    }

    fn attention(&self) -> AttentionOptions {
        AttentionOptions { attention_dim: self.attention_dim, temperature: self.temperature }
    }
}

impl Part for AttemptConfig {
    const NAME: &'static str = "attempt";
    const SUMMARY: &'static str =
        "prompts or adapters of finished runs, mixed for each image by attention";

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
        let count = self.sources;
        Some(match self.mix {
            Mix::Prompts => Sources {
                count,
                adapter: json!({"method": "vpt", "deep": false, "num_tokens": self.num_tokens}),
                take: Box::new(|run, index, _| Ok(take_prompts(run, index))),
            },
            Mix::Adapters => Sources {
                count,
                adapter: settings(&self.bottlenecks()),
                take: Box::new(|run, index, _| Ok(take(Self::NAME, run, index))),
            },
        })
    }
}

/// The prompts of `run` under the name that the source at `index` has here.
fn take_prompts(run: &Tensors, index: usize) -> Tensors {
    let renamed = run.iter().filter_map(|(name, tensor)| {
        let site = name.strip_suffix("vpt_prompts")?;
        Some((format!("{site}{}", place(AttemptConfig::NAME, index)), tensor.shallow_clone()))
    });
    renamed.collect()
}

#[derive(Debug)]
struct Attempt {
    config: AttemptConfig,
    tasks: Vec<String>,
}

impl Attempt {
    fn mixture(&self, scope: &Scope, site: &Site, base: Linear) -> TensorResult<AdapterMixture> {
        let (dim, options) = (site.out_features, self.config.bottlenecks());
        let (shape, name) = ([dim, options.width(dim)], AttemptConfig::NAME);
        let source = |index| Adapter::source(&scope.pp(place(name, index)), shape);
        let own = scope.adapter().pp("attempt_adapters");
        let target = |task: &String| Adapter::target(&own.pp(task), shape);
        let g = backbone_of(scope, site).pp("attempt_G").pp(dim);
        Ok(AdapterMixture {
            base,
            sources: (0..self.config.sources).map(source).collect::<TensorResult<_>>()?,
            targets: self.tasks.iter().map(target).collect::<TensorResult<_>>()?,
            non_linearity: self.config.non_linearity,
            attention: Attention::new(&g, dim, self.config.attention())?,
        })
    }
}

impl Plan for Attempt {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let adapted = self.config.bottlenecks().stands_behind(site.kind);
        Ok(match self.config.mix {
            Mix::Adapters if adapted => Box::new(self.mixture(scope, site, base)?),
            Mix::Adapters | Mix::Prompts => Box::new(Plain(base)),
        })
    }

    fn prompts(
        &self,
        scope: &Scope,
        block: &Site,
        [pixels, embed_dim]: [i64; 2],
    ) -> TensorResult<Option<Box<dyn Prompts>>> {
        let first = block.stage == 0 && block.path.ends_with("blocks.0");
        if !first || self.config.mix != Mix::Prompts {
            return Ok(None);
        }
        let AttemptConfig { sources, num_tokens, .. } = self.config;
        let (dim, init) = (block.in_features, Init::glorot(pixels, embed_dim));
        let (own, frozen) = (scope.adapter(), scope.pp("attempt_source"));
        let targets = own.pp("attempt_prompts");
        let target = |task: &String| targets.param(task, &[num_tokens, dim], init);
        let source = |index: usize| frozen.buffer(index, &[num_tokens, dim], init);
        Ok(Some(Box::new(PromptMixture {
            sources: (0..sources).map(source).collect::<TensorResult<_>>()?,
            targets: self.tasks.iter().map(target).collect::<TensorResult<_>>()?,
            attention: Attention::new(&own.pp("attempt_G"), dim, self.config.attention())?,
        })))
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        match self.config.mix {
            Mix::Prompts => check_place("attempt", sites),
            Mix::Adapters => Ok(()),
        }
    }

    fn unmergeable(&self) -> Option<String> {
        Some(match self.config.mix {
            Mix::Prompts => UNMERGEABLE.into(),
            Mix::Adapters => MIXED.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                AttemptConfig { reduction_factor: 0, ..config },
                "reduction_factor: expected at least 1, found 0",
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
