//! mtLoRA: low-rank experts beside a whole block, whose updates are kept apart (ICLR 2026, arXiv
//! 2603.01526). It is not MTLoRA, which is [`mtlora`](super::mtlora).
//!
//! ```text
//! x' = x + MLP(LN(x)) + sum_i Pi_i (.) (alpha / r) B_i A LN(x)
//! ```
//!
//! `A`: `[r, d]` is shared by the experts, `B_i`: `[d, r]`. `Pi` is a softmax over experts for each of
//! `g` groups of channels, and every value holds for the `d / g` channels of its group. The router
//! reads the mean of an image's tokens, as in the paper, or each token, as in the released code.
//!
//! The loss has two terms: one that keeps experts apart, see [`Regularizer`], and the squared
//! coefficient of variation of how much each expert is used, whose gradient moves routers alone. The
//! paper has experts beside attention too, and finds those beside the MLP nearly as good.

mod experts;
mod regularizer;

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Error as TensorError, Init, Parallel, ParallelOutput, Plan,
    Result as TensorResult, Scope, Site, Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use experts::{BlockExperts, Router};

use crate::error::{Result, config};
use crate::method::{Form, Method};

/// What keeps experts apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Regularizer {
    /// The paper's: `sum_{i<j} ||B_i'^T B_j'||^2`, where `B_i = U S V^T` has become
    /// `B_i' = U diag(sqrt(exp(-s / mean(s))) s) V^T`.
    #[default]
    Spectral,
    /// That of the released code: the mean over experts of `||w (.) (B^T B - c^2 I)||^2`, with
    /// `c^2 = ||B||^2 / r` and `w = e e^T`, `e = exp(-s / mean(s))`.
    ScaledIdentity,
}

/// What a router reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouterInput {
    /// The mean of an image's tokens, by two layers, as in the paper.
    #[default]
    Pooled,
    /// Each token, by one layer, as in the released code.
    Token,
}

/// Configuration of mtLoRA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BlockLoraConfig {
    /// Rank of the factors.
    pub r: i64,
    /// How many `B_i` there are.
    pub num_experts: i64,
    /// Numerator of the scale `lora_alpha / r`.
    pub lora_alpha: f64,
    /// `g`: groups of channels that are routed apart; it divides the width of the stream.
    pub routing_groups: i64,
    /// What the router reads.
    pub router: RouterInput,
    /// Width between the two layers of a router that reads the mean.
    pub router_hidden: i64,
    /// What keeps experts apart.
    pub regularizer: Regularizer,
    /// Weight of that term, from 0.25 to 1 as published; 0 for none.
    pub lambda: f64,
    /// Weight of the term that balances the use of experts; 0 for none.
    pub balance: f64,
}

impl Default for BlockLoraConfig {
    fn default() -> Self {
        Self {
            r: 16,
            num_experts: 16,
            lora_alpha: 64.0,
            routing_groups: 2,
            router: RouterInput::Pooled,
            router_hidden: 64,
            regularizer: Regularizer::Spectral,
            lambda: 0.25,
            balance: 0.01,
        }
    }
}

impl BlockLoraConfig {
    fn validate(&self) -> Result<()> {
        for (key, extent) in [
            ("r", self.r),
            ("num_experts", self.num_experts),
            ("routing_groups", self.routing_groups),
            ("router_hidden", self.router_hidden),
        ] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        if !(self.lora_alpha > 0.0 && self.lora_alpha.is_finite()) {
            return Err(config("lora_alpha", "a positive number", self.lora_alpha));
        }
        for (key, weight) in [("lambda", self.lambda), ("balance", self.balance)] {
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(config(key, "at least 0", weight));
            }
        }
        Ok(())
    }
}

impl Part for BlockLoraConfig {
    const NAME: &'static str = "block_lora";
    const SUMMARY: &'static str = "mtLoRA: routed low-rank experts beside a block, kept apart";

    fn example() -> Self {
        Self { r: 4, num_experts: 3, lora_alpha: 8.0, router_hidden: 8, ..Self::default() }
    }
}

impl Method for BlockLoraConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        Ok(Rc::new(BlockLora { config: self.clone(), built: RefCell::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*block_lora_*"]
    }
}

#[derive(Debug)]
struct BlockLora {
    config: BlockLoraConfig,
    built: RefCell<Vec<Rc<BlockExperts>>>,
}

impl BlockLora {
    fn check_groups(&self, mlp: &Site) -> TensorResult<()> {
        let groups = self.config.routing_groups;
        match mlp.in_features % groups {
            0 => Ok(()),
            _ => Err(TensorError::Config {
                key: format!("routing_groups at {}", mlp.path),
                expected: format!("a divisor of {}", mlp.in_features),
                found: groups.to_string(),
            }),
        }
    }

    fn experts(&self, scope: &Scope, width: i64) -> TensorResult<BlockExperts> {
        let BlockLoraConfig { r, num_experts, lora_alpha, routing_groups, .. } = self.config;
        Ok(BlockExperts {
            a: scope.param("block_lora_A", &[r, width], Init::fan_in(width))?,
            b: scope.param("block_lora_B", &[num_experts, width, r], Init::ZEROS)?,
            router: self.router(&scope.pp("block_lora_router"), width)?,
            groups: routing_groups,
            scaling: lora_alpha / r as f64,
            read: RefCell::default(),
        })
    }

    fn router(&self, scope: &Scope, width: i64) -> TensorResult<Router> {
        let outputs = self.config.num_experts * self.config.routing_groups;
        let layer = |name: &str, out, width| {
            let scope = scope.pp(name);
            let weight = scope.param("weight", &[out, width], Init::fan_in(width))?;
            Ok::<_, TensorError>((weight, scope.param("bias", &[out], Init::ZEROS)?))
        };
        let hidden = self.config.router_hidden;
        Ok(match self.config.router {
            RouterInput::Token => Router::Token(layer("fc", outputs, width)?),
            RouterInput::Pooled => {
                Router::Pooled(layer("fc1", hidden, width)?, layer("fc2", outputs, hidden)?)
            }
        })
    }

    fn apart(&self, experts: &BlockExperts) -> Tensor {
        match self.config.regularizer {
            Regularizer::Spectral => regularizer::spectral(&experts.b),
            Regularizer::ScaledIdentity => regularizer::scaled_identity(&experts.b),
        }
    }
}

impl Plan for BlockLora {
    fn parallel(&self, scope: &Scope, mlp: &Site) -> TensorResult<Option<Box<dyn Parallel>>> {
        self.check_groups(mlp)?;
        let experts = Rc::new(self.experts(&scope.adapter(), mlp.in_features)?);
        self.built.borrow_mut().push(experts.clone());
        Ok(Some(Box::new(Path(experts))))
    }

    fn unmergeable(&self) -> Option<String> {
        let reason =
            "routers read the image, and no weight beside the block can hold what they choose";
        Some(reason.into())
    }

    fn penalty(&self) -> Option<Tensor> {
        let BlockLoraConfig { lambda, balance, .. } = self.config;
        let built = self.built.borrow();
        let apart = built.iter().filter(|_| lambda > 0.0).map(|at| self.apart(at) * lambda);
        let uneven = built.iter().filter(|_| balance > 0.0).filter_map(|at| at.unevenness());
        let uneven = uneven.map(|term| term * balance);
        apart.chain(uneven).reduce(|sum, term| sum + term)
    }
}

/// The experts beside one MLP.
#[derive(Debug)]
struct Path(Rc<BlockExperts>);

impl Parallel for Path {
    fn forward(
        &self,
        _residual: &Activations,
        normed: &Activations,
        train: bool,
    ) -> ParallelOutput {
        ParallelOutput { added: normed.map(|u| self.0.forward(u, train)), aside: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind, SiteKind, Store, Tensors, no_grad};
    use serde_json::{Value, json};

    fn site() -> Site {
        Site {
            path: "mlp".into(),
            kind: SiteKind::Mlp,
            in_features: 6,
            out_features: 6,
            bias: false,
            stage: 0,
            last_in_stage: false,
            last_stage: false,
        }
    }

    fn plan(fields: Value) -> Rc<dyn Plan> {
        let config: BlockLoraConfig = serde_json::from_value(fields).unwrap();
        config.plan(&[], Form::Adapted).unwrap()
    }

    /// The path at `site`, its tensors with random `B`, and what it makes of `x`.
    fn built(plan: &dyn Plan, x: &Tensor) -> (Tensors, Tensor) {
        let store = Store::new(Device::Cpu);
        let path = plan.parallel(&store.root(), &site()).unwrap().unwrap();
        let tensors: Tensors = store.tensors().into_iter().collect();
        let b = &tensors["block_lora_B"];
        no_grad(|| b.shallow_clone().copy_(&b.randn_like()));
        let x = Activations::Shared(x.shallow_clone());
        let added = path.forward(&x, &x, true).added.into_shared();
        (tensors, added)
    }

    #[test]
    fn one_expert_in_one_group_is_a_parallel_lora() {
        for router in ["pooled", "token"] {
            let plan = plan(
                json!({"r": 2, "num_experts": 1, "lora_alpha": 6.0, "routing_groups": 1, "router": router}),
            );
            let x = Tensor::randn([2, 5, 6], (Kind::Float, Device::Cpu));
            let (tensors, found) = built(plan.as_ref(), &x);
            let (a, b) = (&tensors["block_lora_A"], tensors["block_lora_B"].get(0));
            let expected = x.matmul(&a.tr()).matmul(&b.tr()) * 3.0;
            assert!((found - expected).abs().max().double_value(&[]) < 1e-5, "{router}");
        }
    }

    /// Balance moves routers and nothing else; keeping apart moves `B` and nothing else.
    #[test]
    fn each_term_moves_what_it_is_about() {
        let x = Tensor::randn([2, 5, 6], (Kind::Float, Device::Cpu));
        for (fields, moved, still) in [
            (json!({"r": 2, "num_experts": 3, "lambda": 0.0}), "router.fc2.weight", "B"),
            (json!({"r": 2, "num_experts": 3, "balance": 0.0}), "B", "router.fc2.weight"),
        ] {
            let plan = plan(fields);
            let (tensors, _) = built(plan.as_ref(), &x);
            plan.penalty().unwrap().backward();
            let grad = |name: &str| tensors[&format!("block_lora_{name}")].grad();
            assert!(grad(moved).abs().max().double_value(&[]) > 0.0, "{moved}");
            assert!(!grad(still).defined(), "{still}");
        }
        let none = plan(json!({"lambda": 0.0, "balance": 0.0}));
        let _ = built(none.as_ref(), &x);
        assert!(none.penalty().is_none());
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: BlockLoraConfig = serde_json::from_value(fields).unwrap();
            config.plan(&[], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"num_experts": 0}), "num_experts: expected at least 1, found 0"),
            (json!({"lora_alpha": 0.0}), "lora_alpha: expected a positive number, found 0"),
            (json!({"lambda": -1.0}), "lambda: expected at least 0, found -1"),
        ] {
            assert_eq!(message(fields), expected);
        }
        let plan = plan(json!({"routing_groups": 4}));
        let refusal = plan.parallel(&Store::new(Device::Cpu).root(), &site()).unwrap_err();
        assert_eq!(refusal.to_string(), "routing_groups at mlp: expected a divisor of 6, found 4");
    }
}
