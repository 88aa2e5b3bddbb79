//! A token of the task attends to an image's: TAM-CL (arXiv 2401.15275), after DyTox (Douillard et al.,
//! CVPR 2022).
//!
//! ```text
//! z = MHA(q = W_q tau, k, v = W_k, W_v of LN([tau; p; x])) + tau
//! z = z + MLP(LN(z))
//! output = W LN(z) + b
//! ```
//!
//! `tau`: `[d]` is the task's token, `p` the features of the whole image and `x` the positions of the
//! coarsest level, where that is as wide. A trunk that stays as it is serves any number of such heads.

use polyptych_registry::Part;
use polyptych_tensor::{Init, Kind, LayerNorm, Linear, Scope, Tensor, cast};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::error::{Error, Result};
use crate::head::{Head, HeadInput};

/// timm's.
const NORM_EPS: f64 = 1e-6;

/// Settings of the head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskAttentionConfig {
    /// Heads of the attention; they divide the width of the features.
    pub num_heads: i64,
    /// Width of the MLP per width of the features.
    pub mlp_ratio: i64,
    /// `beta`: factor on the squared cosines between the tokens of tasks, which a step minimises.
    pub diversity: f64,
}

impl Default for TaskAttentionConfig {
    fn default() -> Self {
        Self { num_heads: 4, mlp_ratio: 2, diversity: 0.0 }
    }
}

impl Part for TaskAttentionConfig {
    const NAME: &'static str = "task_attention";
    const SUMMARY: &'static str =
        "a token of the task attends to the image's, for tasks of whole images";

    fn example() -> Self {
        Self::default()
    }
}

impl HeadBuilder for TaskAttentionConfig {
    fn is_dense(&self) -> bool {
        false
    }

    fn validate(&self) -> Result<()> {
        for (key, extent) in [("num_heads", self.num_heads), ("mlp_ratio", self.mlp_ratio)] {
            if extent < 1 {
                return Err(Error::config(key, "1 or more", extent));
            }
        }
        match self.diversity.is_finite() && self.diversity >= 0.0 {
            true => Ok(()),
            false => {
                Err(Error::config("diversity", "a finite factor of at least 0", self.diversity))
            }
        }
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { pooled: dim, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        if dim < 1 {
            return Err(Error::config("pooled_dim", "1 or more", dim));
        }
        if dim % self.num_heads != 0 {
            return Err(Error::config("num_heads", &format!("a divisor of {dim}"), self.num_heads));
        }
        let linear = |name: &str, from, to| Linear::new(&scope.pp(name), from, to, true);
        let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, NORM_EPS);
        let hidden = dim * self.mlp_ratio;
        Ok(Box::new(TaskAttention {
            token: scope.param("task_token", &[dim], Init::TruncNormal(0.02))?,
            norm1: norm("norm1")?,
            q: linear("q", dim, dim)?,
            k: linear("k", dim, dim)?,
            v: linear("v", dim, dim)?,
            proj: linear("proj", dim, dim)?,
            norm2: norm("norm2")?,
            fc1: linear("fc1", dim, hidden)?,
            fc2: linear("fc2", hidden, dim)?,
            norm: norm("norm")?,
            fc: linear("fc", dim, outputs)?,
            settings: *self,
            dim,
        }))
    }
}

#[derive(Debug)]
struct TaskAttention {
    /// `tau`, `[d]`.
    token: Tensor,
    norm1: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    proj: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    norm: LayerNorm,
    fc: Linear,
    settings: TaskAttentionConfig,
    dim: i64,
}

impl TaskAttention {
    /// `[tau; p; x]`, `[batch, tokens, d]`.
    fn tokens(&self, features: &HeadInput) -> Result<Tensor> {
        let pooled = features.pooled.as_ref().ok_or(Error::NoPooled)?;
        let found = pooled.size();
        if found.len() != 2 || found[1] != self.dim {
            let expected = format!("[batch, {}]", self.dim);
            return Err(Error::Shape { key: "pooled".into(), expected, found });
        }
        let token = cast(&self.token, pooled.kind()).expand([found[0], 1, self.dim], false);
        let level = features.levels.last().filter(|level| level.size().last() == Some(&self.dim));
        let positions = level.map(|level| level.to_kind(pooled.kind()).flatten(1, 2));
        let own = [token, pooled.unsqueeze(1)];
        Ok(Tensor::cat(&own.into_iter().chain(positions).collect::<Vec<_>>(), 1))
    }

    /// What the token reads of `tokens`: `[batch, 1, d]`.
    fn attend(&self, tokens: &Tensor) -> Tensor {
        let normed = self.norm1.forward(tokens);
        let heads = |t: Tensor| t.unflatten(-1, [self.settings.num_heads, -1]).transpose(1, 2);
        let q = heads(self.q.forward(&normed.narrow(1, 0, 1)));
        let (k, v) = (heads(self.k.forward(&normed)), heads(self.v.forward(&normed)));
        let width = (self.dim / self.settings.num_heads) as f64;
        let weights = (q.matmul(&k.transpose(-2, -1)) / width.sqrt()).softmax(-1, q.kind());
        self.proj.forward(&weights.matmul(&v).transpose(1, 2).flatten(2, 3))
    }
}

impl Head for TaskAttention {
    fn forward(&self, features: &HeadInput, _train: bool) -> Result<Tensor> {
        let tokens = self.tokens(features)?;
        let z = (self.attend(&tokens) + tokens.narrow(1, 0, 1)).squeeze_dim(1);
        let hidden = self.fc1.forward(&self.norm2.forward(&z)).gelu("none");
        let z = &z + self.fc2.forward(&hidden);
        Ok(self.fc.forward(&self.norm.forward(&z)).to_kind(Kind::Float))
    }

    fn task_token(&self) -> Option<(&Tensor, f64)> {
        Some((&self.token, self.settings.diversity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store, manual_seed};

    fn built(config: TaskAttentionConfig, dim: i64) -> Result<Box<dyn Head>> {
        let features = FeatureDims { levels: &[], pooled: dim, text: 0 };
        config.validate()?;
        config.build(&Store::new(Device::Cpu).root(), features, 3)
    }

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn positions_of_the_coarsest_level_count_and_their_order_does_not() {
        manual_seed(2);
        let head = built(TaskAttentionConfig::default(), 8).unwrap();
        let pooled = random(&[2, 8]);
        let level = random(&[2, 2, 3, 8]);
        let out = |levels: Vec<Tensor>| {
            let pooled = Some(pooled.shallow_clone());
            head.forward(&HeadInput { levels, pooled, ..HeadInput::default() }, false).unwrap()
        };
        let all = out(vec![level.shallow_clone()]);
        assert_eq!(all.size(), [2, 3]);
        let again = out(vec![level.flip([1, 2])]);
        assert!((&again - &all).abs().max().double_value(&[]) < 1e-6);
        assert!((&out(vec![]) - &all).abs().max().double_value(&[]) > 1e-6);
        // A level of another width is no token.
        assert!(out(vec![random(&[2, 2, 2, 4])]).equal(&out(vec![])));
    }

    /// The token; queries, keys, values and what joins them; the MLP; three norms; the last layer.
    #[test]
    fn parameters_are_counted() {
        let store = Store::new(Device::Cpu);
        let features = FeatureDims { levels: &[4, 8], pooled: 8, text: 0 };
        let config = TaskAttentionConfig { mlp_ratio: 4, ..TaskAttentionConfig::default() };
        config.build(&store.root(), features, 3).unwrap();
        let count: usize = store.tensors().iter().map(|(_, t)| t.numel()).sum();
        let (d, hidden, outputs) = (8, 32, 3);
        let attention = 4 * (d * d + d);
        let mlp = (hidden * d + hidden) + (d * hidden + d);
        assert_eq!(count, d + attention + mlp + 3 * 2 * d + (outputs * d + outputs));
        assert_eq!(count, 923);
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let config = TaskAttentionConfig::default();
        for (config, expected) in [
            (
                TaskAttentionConfig { num_heads: 0, ..config },
                "num_heads: expected 1 or more, found 0",
            ),
            (
                TaskAttentionConfig { mlp_ratio: 0, ..config },
                "mlp_ratio: expected 1 or more, found 0",
            ),
            (
                TaskAttentionConfig { diversity: -1.0, ..config },
                "diversity: expected a finite factor of at least 0, found -1",
            ),
            (
                TaskAttentionConfig { num_heads: 3, ..config },
                "num_heads: expected a divisor of 8, found 3",
            ),
        ] {
            assert_eq!(built(config, 8).unwrap_err().to_string(), expected);
        }
    }
}
