//! Visual prompt tuning (Jia et al., ECCV 2022, arXiv 2203.12119): trainable tokens among an image's.
//!
//! Shallow: prompts `P`, `[num_tokens, d]`, join the tokens in front of the first block and flow on
//! with them, to the end of a ViT, and in a Swin to the end of the first stage, where patch merging
//! leaves them behind. Deep: every block has prompts of its own, in place of what the block before
//! made of its prompts. A ViT has them behind its class token; in a Swin they attend within every
//! window, without relative position and mask, and are averaged over windows. No head reads them.
//!
//! Every token attends to them from the first step on, so the model does not start as the plain
//! backbone. No weight of a plain backbone can hold them, so they cannot be merged.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Init, Parameter, Plan, Prompts, Result as TensorResult, Scope, Site, Tensor, dropout,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::prompts::{UNMERGEABLE, check_place};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of visual prompt tuning.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VptConfig {
    /// Whether every block has prompts of its own, instead of the first alone.
    pub deep: bool,
    /// Prompts in front of a block.
    pub num_tokens: i64,
    /// Probability with which a number of a prompt is set to zero in training.
    pub dropout: f64,
}

impl Default for VptConfig {
    fn default() -> Self {
        Self { deep: false, num_tokens: 50, dropout: 0.1 }
    }
}

impl Part for VptConfig {
    const NAME: &'static str = "vpt";
    const SUMMARY: &'static str =
        "tokens among an image's, in front of the first block or of every block";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for VptConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(Vpt::new(*self)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*vpt_*"]
    }
}

/// Visual prompt tuning as a plan. See [`VptConfig`].
#[derive(Debug, Clone, Copy)]
pub struct Vpt {
    config: VptConfig,
}

impl Vpt {
    /// Checks `fields` and makes the plan.
    ///
    /// # Errors
    /// A field that is out of range.
    pub fn new(fields: VptConfig) -> Result<Self> {
        if fields.num_tokens < 1 {
            return Err(config("num_tokens", "at least 1", fields.num_tokens));
        }
        match (0.0..1.0).contains(&fields.dropout) {
            true => Ok(Self { config: fields }),
            false => Err(config("dropout", "at least 0 and below 1", fields.dropout)),
        }
    }
}

impl Plan for Vpt {
    /// Prompts start as Glorot's law would start the patch embedding.
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
        let (shape, init) =
            ([self.config.num_tokens, block.in_features], Init::glorot(pixels, embed_dim));
        let tokens = scope.adapter().param("vpt_prompts", &shape, init)?;
        Ok(Some(Box::new(Tokens { tokens, dropout: self.config.dropout })))
    }

    fn check(&self, sites: &[Site], _parameters: &[Parameter]) -> TensorResult<()> {
        check_place("vpt", sites)
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.into())
    }
}

#[derive(Debug)]
struct Tokens {
    /// `[num_tokens, d]`.
    tokens: Tensor,
    dropout: f64,
}

impl Prompts for Tokens {
    fn forward(&self, batch: i64, train: bool) -> Tensor {
        dropout(&self.tokens.unsqueeze(0).expand([batch, -1, -1], false), self.dropout, train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |config| Vpt::new(config).unwrap_err().to_string();
        let config = VptConfig::default();
        assert_eq!(
            message(VptConfig { num_tokens: 0, ..config }),
            "num_tokens: expected at least 1, found 0"
        );
        assert_eq!(
            message(VptConfig { dropout: 1.0, ..config }),
            "dropout: expected at least 0 and below 1, found 1"
        );
    }
}
