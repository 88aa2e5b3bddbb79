//! UPDeT: a policy whose size does not depend on who is there (Hu et al., ICLR 2021, arXiv 2101.08001).
//!
//! ```text
//! o = transformer(W_e [self; allies; enemies]),   Q(basic) = W_q o_self,   Q(attack i) = mean(W_q o_i)
//! ```
//!
//! One head, `W_q`, is applied to the token of every entity: an action is decoupled from the others by the
//! entity that it is about. As published blocks normalise behind their branches, every head of
//! attention has the full width, and queries and keys are divided by `emb^(1/4)`. Tokens of the dead
//! are not attended to, and the published memory, a token that goes from step to step, is left out:
//! all of a battle is seen in every step.

use polyptych_tensor::{Kind, LayerNorm, Linear, Scope, Tensor};

use crate::entities::FEATURES;
use crate::error::{Result, config};
use crate::units::BASIC_ACTIONS;

/// Settings of the policy, with the published values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyConfig {
    /// Numbers of a token within.
    pub emb: i64,
    /// Heads of attention, each as wide as a token.
    pub heads: i64,
    /// Blocks.
    pub depth: usize,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { emb: 32, heads: 3, depth: 2 }
    }
}

/// The policy of one unit, shared by all.
#[derive(Debug)]
pub struct Policy {
    embed: Linear,
    blocks: Vec<Block>,
    head: Linear,
}

impl Policy {
    /// Makes the policy below `scope`.
    ///
    /// # Errors
    /// A setting of 0.
    pub fn new(scope: &Scope, settings: PolicyConfig) -> Result<Self> {
        let PolicyConfig { emb, heads, depth } = settings;
        for (key, extent) in [("emb", emb), ("heads", heads), ("depth", depth as i64)] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        let block = |index: usize| Block::new(&scope.pp("blocks").pp(index), emb, heads);
        Ok(Self {
            embed: linear(&scope.pp("embed"), FEATURES as i64, emb, true)?,
            blocks: (0..depth).map(block).collect::<Result<_>>()?,
            head: linear(&scope.pp("head"), emb, BASIC_ACTIONS as i64, true)?,
        })
    }

    /// Values of all actions, `[units, BASIC_ACTIONS + enemies]`, for `tokens`:
    /// `[units, entities, FEATURES]`, the last `enemies` of which are the other team.
    pub fn forward(&self, tokens: &Tensor, enemies: i64) -> Tensor {
        let alive = tokens.select(-1, FEATURES as i64 - 1);
        // A unit looks at itself even if it is dead.
        let hidden = (alive * -1.0 + 1.0) * -1e9;
        let _ = hidden.narrow(1, 0, 1).zero_();
        let mut x = self.embed.forward(tokens);
        for block in &self.blocks {
            x = block.forward(&x, &hidden);
        }
        let values = self.head.forward(&x);
        let about = values.narrow(1, tokens.size()[1] - enemies, enemies);
        let attacks = about.mean_dim([-1i64].as_slice(), false, None::<Kind>);
        Tensor::cat(&[values.select(1, 0), attacks], 1)
    }
}

/// Starts as PyTorch's `nn.Linear`: even in `+-1 / sqrt(in)`.
fn linear(scope: &Scope, from: i64, to: i64, bias: bool) -> Result<Linear> {
    let init = polyptych_tensor::Init::fan_in(from);
    let weight = scope.param("weight", &[to, from], init)?;
    let bias = bias.then(|| scope.param("bias", &[to], init)).transpose()?;
    Ok(Linear { weight, bias })
}

#[derive(Debug)]
struct Block {
    queries: Linear,
    keys: Linear,
    values: Linear,
    joined: Linear,
    norm1: LayerNorm,
    norm2: LayerNorm,
    wide: Linear,
    narrow: Linear,
    heads: i64,
}

impl Block {
    fn new(scope: &Scope, emb: i64, heads: i64) -> Result<Self> {
        let all = emb * heads;
        Ok(Self {
            queries: linear(&scope.pp("queries"), emb, all, false)?,
            keys: linear(&scope.pp("keys"), emb, all, false)?,
            values: linear(&scope.pp("values"), emb, all, false)?,
            joined: linear(&scope.pp("joined"), all, emb, true)?,
            norm1: LayerNorm::new(&scope.pp("norm1"), emb, 1e-5)?,
            norm2: LayerNorm::new(&scope.pp("norm2"), emb, 1e-5)?,
            wide: linear(&scope.pp("wide"), emb, 4 * emb, true)?,
            narrow: linear(&scope.pp("narrow"), 4 * emb, emb, true)?,
            heads,
        })
    }

    fn forward(&self, x: &Tensor, hidden: &Tensor) -> Tensor {
        let x = self.norm1.forward(&(x + self.attended(x, hidden)));
        let mlp = self.narrow.forward(&self.wide.forward(&x).relu());
        self.norm2.forward(&(mlp + x))
    }

    /// `[units, entities, emb]`; `hidden`: `[units, entities]`, added to the scores of keys.
    fn attended(&self, x: &Tensor, hidden: &Tensor) -> Tensor {
        let scale = (x.size()[2] as f64).powf(-0.25);
        // `[units, heads, entities, emb]`.
        let parted = |t: Tensor| t.unflatten(-1, [self.heads, -1]).transpose(1, 2);
        let queries = parted(self.queries.forward(x)) * scale;
        let keys = parted(self.keys.forward(x)) * scale;
        let scores = queries.matmul(&keys.transpose(-1, -2));
        let shares = (scores + hidden.unsqueeze(1).unsqueeze(1)).softmax(-1, None::<Kind>);
        let found = shares.matmul(&parted(self.values.forward(x)));
        self.joined.forward(&found.transpose(1, 2).flatten(2, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::alone;
    use polyptych_tensor::{Device, Store};

    fn policy() -> (Store, Policy) {
        let store = Store::new(Device::Cpu);
        let policy = Policy::new(&store.root(), PolicyConfig::default()).unwrap();
        (store, policy)
    }

    fn living(units: i64, entities: i64) -> Tensor {
        let tokens = Tensor::randn([units, entities, FEATURES as i64], (Kind::Float, Device::Cpu));
        let _ = tokens.select(-1, FEATURES as i64 - 1).fill_(1.0);
        tokens
    }

    fn largest(difference: Tensor) -> f64 {
        difference.abs().max().double_value(&[])
    }

    /// By hand for e = 32, three heads and two blocks: 33,000 and some, whoever is there.
    #[test]
    fn the_count_is_that_of_the_equations_for_teams_of_any_size() {
        let _drawing = alone();
        let (store, policy) = policy();
        let (e, heads, f) = (32, 3, FEATURES);
        let attention = 3 * e * heads * e + heads * e * e + e;
        let block = attention + 4 * e + (e * 4 * e + 4 * e) + (4 * e * e + e);
        let expected = (f * e + e) + 2 * block + (e * 6 + 6);
        let count = |store: &Store| store.tensors().iter().map(|(_, t)| t.numel()).sum::<usize>();
        assert_eq!(count(&store), expected);
        for (allies, enemies) in [(1, 1), (3, 3), (6, 2)] {
            let values = policy.forward(&living(4, allies + enemies), enemies);
            assert_eq!(values.size(), [4, 6 + enemies]);
        }
        assert_eq!(count(&store), expected);
    }

    #[test]
    fn permuted_entities_have_permuted_values() {
        let _drawing = alone();
        let (_, policy) = policy();
        let tokens = living(2, 6);
        let order = Tensor::from_slice(&[0i64, 2, 1, 5, 3, 4]);
        let (before, after) =
            (policy.forward(&tokens, 3), policy.forward(&tokens.index_select(1, &order), 3));
        let attacks = Tensor::from_slice(&[8i64, 6, 7]);
        assert!(largest(before.narrow(1, 0, 6) - after.narrow(1, 0, 6)) < 1e-5);
        assert!(largest(before.index_select(1, &attacks) - after.narrow(1, 6, 3)) < 1e-5);
    }

    /// The dead change nothing, so that a team of four of which one fell is one of three.
    #[test]
    fn the_dead_are_not_seen() {
        let _drawing = alone();
        let (_, policy) = policy();
        let three = living(2, 4);
        let dead = Tensor::zeros([2, 1, FEATURES as i64], (Kind::Float, Device::Cpu));
        let four = Tensor::cat(&[three.narrow(1, 0, 2), dead, three.narrow(1, 2, 2)], 1);
        assert!(largest(policy.forward(&three, 2) - policy.forward(&four, 2)) < 1e-5);
    }

    #[test]
    fn settings_of_zero_are_named() {
        let none = PolicyConfig { heads: 0, ..PolicyConfig::default() };
        let message = Policy::new(&Store::new(Device::Cpu).root(), none).unwrap_err().to_string();
        assert_eq!(message, "heads: expected at least 1, found 0");
    }
}
