//! One token for each class and one row of numbers for all: UPDeT's decoupled head (Hu et al., ICLR 2021,
//! arXiv 2101.08001) for classes of whole images.
//!
//! ```text
//! o_c = t_c + MHA(LN(t_c), x),   z_c = <w, LN(o_c + MLP(LN(o_c)))> + b
//! ```
//!
//! `t_c`: `[dim]` is the token of class `c`; `x` are the image's vector and the places of the last level.
//! Classes do not see each other, so that the score of one does not depend on which others there are:
//! a class more is a token more, and nothing else. UPDeT's tokens are of what is there; that of a
//! class is trained.

use polyptych_registry::Part;
use polyptych_tensor::{Init, Kind, LayerNorm, Linear, Scope, Tensor, cast};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::error::{Error, Result};
use crate::head::{Head, HeadInput};

/// The parameter with one row for each class.
const TOKENS: &str = "tokens";
/// As timm's norms.
const EPS: f64 = 1e-6;

/// Settings of the decoupled head. Parameters: `tokens` `[outputs, dim]`, `image`, `places`, `keys`,
/// `values`, `joined`, `norm1`, `norm2`, `norm3`, `fc1`, `fc2`, `score`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecoupledConfig {
    /// Numbers of a token within.
    pub dim: i64,
    /// Heads of attention, which divide `dim`.
    pub num_heads: i64,
}

impl Default for DecoupledConfig {
    fn default() -> Self {
        Self { dim: 64, num_heads: 4 }
    }
}

impl Part for DecoupledConfig {
    const NAME: &'static str = "decoupled";
    const SUMMARY: &'static str = "a token per class and one row for all, for label sets that grow";

    fn example() -> Self {
        Self { dim: 8, num_heads: 2 }
    }
}

impl HeadBuilder for DecoupledConfig {
    fn is_dense(&self) -> bool {
        false
    }

    fn validate(&self) -> Result<()> {
        for (key, value) in [("dim", self.dim), ("num_heads", self.num_heads)] {
            if value < 1 {
                return Err(Error::config(key, "1 or more", value));
            }
        }
        match self.dim % self.num_heads {
            0 => Ok(()),
            _ => Err(Error::config("num_heads", "a divisor of dim", self.num_heads)),
        }
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { levels, pooled, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        if pooled < 1 {
            return Err(Error::config("pooled_dim", "1 or more", pooled));
        }
        let dim = self.dim;
        let linear = |name: &str, from: i64, to: i64| Linear::new(&scope.pp(name), from, to, true);
        let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, EPS);
        let places = levels.last().map(|&width| linear("places", width, dim));
        Ok(Box::new(DecoupledHead {
            tokens: scope.param(TOKENS, &[outputs, dim], Init::Normal(1.0))?,
            image: linear("image", pooled, dim)?,
            places: places.transpose()?,
            keys: linear("keys", dim, dim)?,
            values: linear("values", dim, dim)?,
            joined: linear("joined", dim, dim)?,
            norms: [norm("norm1")?, norm("norm2")?, norm("norm3")?],
            fc1: linear("fc1", dim, 2 * dim)?,
            fc2: linear("fc2", 2 * dim, dim)?,
            score: linear("score", dim, 1)?,
            num_heads: self.num_heads,
            pooled,
        }))
    }

    /// New classes begin at the mean of those that are known.
    fn grown(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        let (found, [rows, dim]) = (tensor.size(), wanted) else { return None };
        let more = rows - found.first()?;
        if name != TOKENS || found.len() != 2 || found[1] != *dim || more < 1 || found[0] < 1 {
            return None;
        }
        let mean = tensor.mean_dim([0i64].as_slice(), true, None::<Kind>);
        Some(Tensor::cat(&[tensor.shallow_clone(), mean.repeat([more, 1])], 0))
    }
}

#[derive(Debug)]
struct DecoupledHead {
    /// `[classes, dim]`.
    tokens: Tensor,
    image: Linear,
    /// None where the backbone has no levels.
    places: Option<Linear>,
    keys: Linear,
    values: Linear,
    joined: Linear,
    norms: [LayerNorm; 3],
    fc1: Linear,
    fc2: Linear,
    score: Linear,
    num_heads: i64,
    pooled: i64,
}

impl Head for DecoupledHead {
    fn forward(&self, features: &HeadInput, _train: bool) -> Result<Tensor> {
        let x = self.seen(features)?;
        let [norm1, norm2, norm3] = &self.norms;
        let tokens = cast(&self.tokens, x.kind());
        let o = tokens.unsqueeze(0) + self.attended(&norm1.forward(&tokens), &x);
        let mlp = self.fc2.forward(&self.fc1.forward(&norm2.forward(&o)).gelu("none"));
        let scores = self.score.forward(&norm3.forward(&(o + mlp)));
        Ok(scores.squeeze_dim(-1).to_kind(Kind::Float))
    }
}

impl DecoupledHead {
    /// The image's vector and the places of its last level, `[batch, 1 + places, dim]`.
    fn seen(&self, features: &HeadInput) -> Result<Tensor> {
        let pooled = features.pooled.as_ref().ok_or(Error::NoPooled)?;
        let found = pooled.size();
        if found.len() != 2 || found[1] != self.pooled {
            let expected = format!("[batch, {}]", self.pooled);
            return Err(Error::Shape { key: "pooled".into(), expected, found });
        }
        let image = self.image.forward(pooled).unsqueeze(1);
        let Some(places) = &self.places else { return Ok(image) };
        let Some(level) = features.levels.last() else {
            return Err(Error::NumLevels { expected: 1, found: 0 });
        };
        let (found, width) = (level.size(), places.weight.size()[1]);
        match found[..] {
            [batch, _, _, dim] if batch == image.size()[0] && dim == width => {
                let all = places.forward(&level.flatten(1, 2).to_kind(image.kind()));
                Ok(Tensor::cat(&[image, all], 1))
            }
            _ => {
                let expected = format!("[batch, height, width, {width}]");
                Err(Error::Shape { key: "the last level".into(), expected, found })
            }
        }
    }

    /// What every class reads of `x`: `[batch, classes, dim]`; `queries`: `[classes, dim]`.
    fn attended(&self, queries: &Tensor, x: &Tensor) -> Tensor {
        let parted = |t: &Tensor| t.unflatten(-1, [self.num_heads, -1]).transpose(-3, -2);
        let (keys, values) = (parted(&self.keys.forward(x)), parted(&self.values.forward(x)));
        let queries = parted(queries);
        let scale = (queries.size()[2] as f64).powf(-0.5);
        let shares = (queries.matmul(&keys.transpose(-1, -2)) * scale).softmax(-1, None::<Kind>);
        self.joined.forward(&shares.matmul(&values).transpose(1, 2).flatten(2, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store, manual_seed, no_grad};

    const LEVELS: [i64; 2] = [6, 10];

    fn head(outputs: i64) -> (Store, Box<dyn Head>) {
        manual_seed(0);
        let store = Store::new(Device::Cpu);
        let dims = FeatureDims { levels: &LEVELS, pooled: 12, text: 0 };
        let head = DecoupledConfig::default().build(&store.root(), dims, outputs).unwrap();
        (store, head)
    }

    fn input() -> HeadInput {
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        HeadInput {
            levels: vec![draw(&[3, 4, 4, 6]), draw(&[3, 2, 2, 10])],
            pooled: Some(draw(&[3, 12])),
            ..HeadInput::default()
        }
    }

    fn token_rows(store: &Store) -> Tensor {
        store.tensors().into_iter().find(|(name, _)| name == TOKENS).unwrap().1
    }

    fn set(store: &Store, rows: &Tensor) {
        no_grad(|| token_rows(store).copy_(rows));
    }

    /// A class more is `dim` numbers more, and no score of others changes.
    #[test]
    fn a_class_more_is_a_token_more() {
        let ((five, small), (six, large)) = (head(5), head(6));
        let count = |store: &Store| store.tensors().iter().map(|(_, t)| t.numel()).sum::<usize>();
        assert_eq!(count(&six) - count(&five), 64);
        no_grad(|| {
            for ((_, own), (_, other)) in six.tensors().iter().zip(five.tensors()) {
                if own.size() == other.size() {
                    own.shallow_clone().copy_(&other);
                }
            }
        });
        let known = token_rows(&five);
        let grown = DecoupledConfig::default().grown(TOKENS, &known, &[6, 64]).unwrap();
        assert!(grown.narrow(0, 0, 5).equal(&known));
        set(&six, &grown);
        let x = input();
        let (before, after) = (small.forward(&x, true).unwrap(), large.forward(&x, true).unwrap());
        assert_eq!(after.size(), [3, 6]);
        let difference = (before - after.narrow(1, 0, 5)).abs().max().double_value(&[]);
        assert!(difference < 1e-6, "{difference}");
    }

    /// Tokens; what reads the image and the last level; attention; the MLP; norms; one row for all.
    #[test]
    fn parameters_are_counted() {
        let (store, _) = head(5);
        let count: usize = store.tensors().iter().map(|(_, t)| t.numel()).sum();
        let (d, outputs) = (64, 5);
        let seen = (d * 12 + d) + (d * 10 + d);
        let attention = 3 * (d * d + d);
        let mlp = (2 * d * d + 2 * d) + (d * 2 * d + d);
        assert_eq!(count, outputs * d + seen + attention + mlp + 3 * 2 * d + (d + 1));
        assert_eq!(count, 31_361);
    }

    #[test]
    fn permuted_tokens_have_permuted_scores() {
        let ((store, head), x) = (head(4), input());
        let before = head.forward(&x, false).unwrap();
        let order = Tensor::from_slice(&[2i64, 0, 3, 1]);
        let rows = token_rows(&store).index_select(0, &order).detach();
        set(&store, &rows);
        let found = head.forward(&x, false).unwrap() - before.index_select(1, &order);
        assert!(found.abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let none = DecoupledConfig::default();
        assert!(
            none.grown(TOKENS, &Tensor::zeros([5, 64], (Kind::Float, Device::Cpu)), &[4, 64])
                .is_none()
        );
        assert!(
            none.grown(
                "score.weight",
                &Tensor::zeros([1, 64], (Kind::Float, Device::Cpu)),
                &[2, 64]
            )
            .is_none()
        );
        let message = |config: DecoupledConfig| config.validate().unwrap_err().to_string();
        assert_eq!(message(DecoupledConfig { dim: 0, ..none }), "dim: expected 1 or more, found 0");
        assert_eq!(
            message(DecoupledConfig { num_heads: 5, ..none }),
            "num_heads: expected a divisor of dim, found 5"
        );
        let (_, head) = head(2);
        let mut x = input();
        x.levels.pop();
        let message = head.forward(&x, false).unwrap_err().to_string();
        assert_eq!(
            message,
            "the last level: expected shape [batch, height, width, 10], found [3, 4, 4, 6]"
        );
    }
}
