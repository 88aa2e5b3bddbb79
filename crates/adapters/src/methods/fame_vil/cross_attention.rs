//! XAA: what one tower reads in the other.

use polyptych_tensor::{Init, Kind, LayerNorm, Linear, Result, Scope, Tensor, cast};

use crate::error::config;
use crate::method::Fusion;

/// `eps` of PyTorch's layer norm.
const NORM_EPS: f64 = 1e-5;

/// `v + s (W_up relu(W_down MHA(q = LN(v), kv = LN(u)) + b_down) + b_up)`.
#[derive(Debug)]
pub struct CrossAttention {
    norm: LayerNorm,
    other_norm: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    proj: Linear,
    num_heads: i64,
    down: Linear,
    up: Linear,
    scale: Tensor,
}

impl CrossAttention {
    /// For streams of `dim` numbers that read streams of `other` numbers.
    ///
    /// # Errors
    /// Heads that do not divide `dim`; a name that is taken.
    pub fn new(scope: &Scope, [dim, other]: [i64; 2], fusion: &Fusion) -> crate::Result<Self> {
        if dim % fusion.num_heads != 0 {
            return Err(config("num_heads", format!("a divisor of {dim}"), fusion.num_heads));
        }
        Ok(Self::build(scope, [dim, other], fusion)?)
    }

    fn build(scope: &Scope, [dim, other]: [i64; 2], fusion: &Fusion) -> Result<Self> {
        let linear = |name: &str, [rows, columns]: [i64; 2], init| -> Result<Linear> {
            let scope = scope.pp(format!("fame_{name}"));
            let weight = scope.param("weight", &[rows, columns], init)?;
            Ok(Linear { weight, bias: Some(scope.param("bias", &[rows], Init::ZEROS)?) })
        };
        let n = fusion.bottleneck;
        Ok(Self {
            norm: LayerNorm::new(&scope.pp("fame_norm"), dim, NORM_EPS)?,
            other_norm: LayerNorm::new(&scope.pp("fame_other_norm"), other, NORM_EPS)?,
            q: linear("q", [dim, dim], Init::glorot(dim, dim))?,
            k: linear("k", [dim, other], Init::glorot(dim, other))?,
            v: linear("v", [dim, other], Init::glorot(dim, other))?,
            proj: linear("proj", [dim, dim], Init::fan_in(dim))?,
            num_heads: fusion.num_heads,
            down: linear("down", [n, dim], Init::fan_in(dim))?,
            up: linear("up", [dim, n], Init::ZEROS)?,
            scale: scope.param("fame_scale", &[1], Init::Const(fusion.scale))?,
        })
    }

    /// What `v`, `[batch, tokens, dim]`, becomes beside `u`, `[batch, others, other]`, of which only
    /// places that are true in `keep`, `[batch, others]`, are read.
    pub fn forward(&self, v: &Tensor, u: &Tensor, keep: Option<&Tensor>) -> Tensor {
        let read = self.other_norm.forward(u);
        let q = self.heads(&self.q.forward(&self.norm.forward(v)));
        let [k, value] = [&self.k, &self.v].map(|matrix| self.heads(&matrix.forward(&read)));
        let scores = q.matmul(&k.transpose(2, 3)) / (q.size()[3] as f64).sqrt();
        let scores = match keep {
            Some(keep) => {
                let unread = keep.logical_not().unsqueeze(1).unsqueeze(1);
                scores.masked_fill(&unread, f64::NEG_INFINITY)
            }
            None => scores,
        };
        let shares = scores.softmax(-1, Kind::Float).to_kind(v.kind());
        let read = self.proj.forward(&shares.matmul(&value).transpose(1, 2).flatten(2, 3));
        let term = self.up.forward(&self.down.forward(&read).relu());
        v + term * cast(&self.scale, v.kind())
    }

    /// `[batch, tokens, dim]` to `[batch, heads, tokens, dim / heads]`.
    fn heads(&self, x: &Tensor) -> Tensor {
        x.unflatten(2, [self.num_heads, -1]).transpose(1, 2).contiguous()
    }
}
