//! What one level reads in the classes of a task.

use polyptych_tensor::{Init, Kind, LayerNorm, Linear, Result, Scope, Tensor};

use super::linear::linear;
use crate::error::config;
use crate::method::Language;

/// PyTorch's default.
const NORM_EPS: f64 = 1e-5;
/// Least length that a row is divided by.
const LEAST: f64 = 1e-6;

/// `F + W_o MHA(q = LN(F), kv = E) + W_c softmax(<W_f F, E> / tau) E`, products of rows of length 1.
#[derive(Debug)]
pub struct LanguageNeck {
    norm: LayerNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    proj: Linear,
    score: Linear,
    context: Linear,
    num_heads: i64,
    temperature: f64,
}

impl LanguageNeck {
    /// For a level of `chans` channels and embeddings of `dim` numbers.
    ///
    /// # Errors
    /// Heads that do not divide `chans`; a name that is taken.
    pub fn new(scope: &Scope, [chans, dim]: [i64; 2], language: &Language) -> crate::Result<Self> {
        if chans % language.num_heads != 0 {
            return Err(config("num_heads", format!("a divisor of {chans}"), language.num_heads));
        }
        Ok(Self::build(scope, [chans, dim], language)?)
    }

    fn build(scope: &Scope, [chans, dim]: [i64; 2], language: &Language) -> Result<Self> {
        let matrix = |name: &str, shape, init| linear(&scope.pp(format!("lv_{name}")), shape, init);
        let Language { num_heads, temperature, .. } = *language;
        Ok(Self {
            norm: LayerNorm::new(&scope.pp("lv_norm"), chans, NORM_EPS)?,
            q: matrix("q", [chans, chans], Init::glorot(chans, chans))?,
            k: matrix("k", [chans, dim], Init::glorot(chans, dim))?,
            v: matrix("v", [chans, dim], Init::glorot(chans, dim))?,
            proj: matrix("proj", [chans, chans], Init::ZEROS)?,
            score: matrix("score", [dim, chans], Init::fan_in(chans))?,
            context: matrix("context", [chans, dim], Init::ZEROS)?,
            num_heads,
            temperature,
        })
    }

    /// What the level `map`, `[batch, height, width, chans]`, becomes beside the classes
    /// `embeddings`, `[classes, dim]`.
    pub fn forward(&self, map: &Tensor, embeddings: &Tensor) -> Tensor {
        let tokens = map.flatten(1, 2);
        let added = self.attended(&tokens, embeddings) + self.context(&tokens, embeddings);
        map + added.view_as(map)
    }

    fn attended(&self, tokens: &Tensor, embeddings: &Tensor) -> Tensor {
        let q = self.heads(&self.q.forward(&self.norm.forward(tokens)));
        let [k, v] =
            [&self.k, &self.v].map(|matrix| self.heads(&matrix.forward(embeddings).unsqueeze(0)));
        let scores = q.matmul(&k.transpose(2, 3)) / (q.size()[3] as f64).sqrt();
        let shares = scores.softmax(-1, Kind::Float).to_kind(tokens.kind());
        self.proj.forward(&shares.matmul(&v).transpose(1, 2).flatten(2, 3))
    }

    fn context(&self, tokens: &Tensor, embeddings: &Tensor) -> Tensor {
        let shares =
            self.scores(tokens, embeddings).softmax(-1, Kind::Float).to_kind(tokens.kind());
        self.context.forward(&shares.matmul(embeddings))
    }

    /// Scores of the classes at every place, `[batch, places, classes]`.
    fn scores(&self, tokens: &Tensor, embeddings: &Tensor) -> Tensor {
        let read = unit(&self.score.forward(tokens));
        read.matmul(&unit(embeddings).tr()) / self.temperature
    }

    /// `[batch, tokens, chans]` to `[batch, heads, tokens, chans / heads]`.
    fn heads(&self, x: &Tensor) -> Tensor {
        x.unflatten(2, [self.num_heads, -1]).transpose(1, 2).contiguous()
    }
}

fn unit(rows: &Tensor) -> Tensor {
    rows / rows.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store, no_grad};

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn language() -> Language {
        Language { num_tokens: 2, num_heads: 2, temperature: 0.5 }
    }

    #[test]
    fn it_starts_as_the_level_and_then_reads_classes() {
        let store = Store::new(Device::Cpu);
        let neck = LanguageNeck::new(&store.root(), [8, 6], &language()).unwrap();
        let (map, classes) = (random(&[2, 3, 4, 8]), random(&[5, 6]));
        assert!(neck.forward(&map, &classes).equal(&map));
        no_grad(|| {
            store.trainable().iter().for_each(|(_, t)| drop(t.shallow_clone().normal_(0.0, 0.5)))
        });
        let read = neck.forward(&map, &classes);
        // The order of classes says nothing.
        let turned = neck.forward(&map, &classes.flip([0]));
        assert!(!read.equal(&map) && read.allclose(&turned, 1e-4, 1e-5, false));
        read.square().sum(Kind::Float).backward();
        store.check_gradients().unwrap();
    }

    /// A norm; queries and what joins heads, of the level; keys, values and context, of the classes;
    /// what scores them.
    #[test]
    fn parameters_are_counted() {
        let store = Store::new(Device::Cpu);
        LanguageNeck::new(&store.root(), [8, 6], &language()).unwrap();
        let count: usize = store.tensors().iter().map(|(_, t)| t.numel()).sum();
        let (chans, dim) = (8, 6);
        let of_level = 2 * chans + 2 * (chans * chans + chans);
        assert_eq!(count, of_level + 3 * (chans * dim + chans) + (dim * chans + dim));
        assert_eq!(count, 382);
    }

    /// PyTorch's own attention, of the heads side by side.
    #[test]
    fn attention_is_pytorch_s() {
        let store = Store::new(Device::Cpu);
        let neck = LanguageNeck::new(&store.root(), [8, 6], &language()).unwrap();
        no_grad(|| {
            store.trainable().iter().for_each(|(_, t)| drop(t.shallow_clone().normal_(0.0, 0.5)))
        });
        let (tokens, classes) = (random(&[2, 12, 8]), random(&[5, 6]));
        let head =
            |matrix: &Linear, x: &Tensor, head: i64| matrix.forward(x).narrow(-1, 4 * head, 4);
        let normed = neck.norm.forward(&tokens);
        let each = [0, 1].map(|h| {
            let q = head(&neck.q, &normed, h);
            let [k, v] = [&neck.k, &neck.v]
                .map(|m| head(m, &classes, h).unsqueeze(0).expand([2, 5, 4], false));
            let none: Option<&Tensor> = None;
            Tensor::scaled_dot_product_attention(&q, &k, &v, none, 0.0, false, None, false)
        });
        let expected = neck.proj.forward(&Tensor::cat(&each, -1));
        assert!(neck.attended(&tokens, &classes).allclose(&expected, 1e-4, 1e-5, false));
    }

    #[test]
    fn heads_must_divide_the_channels() {
        let three = Language { num_heads: 3, ..language() };
        let neck = LanguageNeck::new(&Store::new(Device::Cpu).root(), [8, 6], &three);
        assert_eq!(neck.unwrap_err().to_string(), "num_heads: expected a divisor of 8, found 3");
    }
}
