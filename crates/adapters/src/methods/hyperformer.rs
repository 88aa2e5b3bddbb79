//! HyperFormer (Mahabadi, Ruder, Dehghani and Henderson, ACL 2021, arXiv 2106.04489).
//!
//! Hypernetworks, which all tasks share, make the weights of each task's bottlenecks from one
//! embedding per task, layer and branch:
//!
//! ```text
//! e      = LayerNorm(MLP([task; layer; branch]))
//! vec(W) = H e                                   for both matrices, the biases, and scale and shift
//! y_t + LayerNorm(sigma(y_t D + b) U + c)        of a norm behind the bottleneck
//! ```
//!
//! With `hypernetworks = "block"` every block has its own, as in the first of the paper's two forms.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{Init, Plan, Result as TensorResult, Scope, Site, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{InitWeights, NonLinearity};
use crate::blocks::bottleneck::BottleneckOptions;
use crate::blocks::hyper::adapter::{Generator, Weights};
use crate::blocks::hyper::parts::{
    Bias, HyperBias, HyperSite, Hypernetworks, Matrix, task_embeddings,
};
use crate::blocks::hyper::{Generators, HyperAdapters, check, reduced};
use crate::error::Result;
use crate::method::{Form, Method};

/// Added to the variance by the embedding's norm, PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// Configuration of HyperFormer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HyperFormerConfig {
    /// Whether a bottleneck stands behind attention.
    pub mh_adapter: bool,
    /// Whether one stands behind the MLP.
    pub output_adapter: bool,
    /// Reduction factor: width of the stream divided by that of the bottleneck, which is rounded
    /// down.
    pub reduction_factor: i64,
    /// Activation of the bottleneck.
    pub non_linearity: NonLinearity,
    /// Length of the embeddings of tasks, layers and branches, and of what is made of them.
    pub embedding_dim: i64,
    /// Hidden units of the MLP that joins them.
    pub hidden_dim: i64,
    /// Which bottlenecks share hypernetworks.
    pub hypernetworks: Hypernetworks,
    /// Where biases come from.
    pub bias: HyperBias,
    /// Whether a norm stands behind the bottleneck, with scale and shift from hypernetworks.
    pub conditional_layer_norm: bool,
    /// How hypernetworks start: so that bottlenecks add nothing, or all alike, as published.
    pub init_weights: InitWeights,
    /// Standard deviation of the first values of hypernetworks and of the MLP.
    pub init_range: f64,
    /// Standard deviation of the first values of embeddings.
    pub embedding_init_range: f64,
}

impl Default for HyperFormerConfig {
    fn default() -> Self {
        Self {
            mh_adapter: true,
            output_adapter: true,
            reduction_factor: 4,
            non_linearity: NonLinearity::Gelu,
            embedding_dim: 64,
            hidden_dim: 128,
            hypernetworks: Hypernetworks::Width,
            bias: HyperBias::Generated,
            conditional_layer_norm: true,
            init_weights: InitWeights::Identity,
            init_range: 1e-2,
            embedding_init_range: 1.0,
        }
    }
}

impl HyperFormerConfig {
    fn validate(&self) -> Result<()> {
        let extents = [("embedding_dim", self.embedding_dim), ("hidden_dim", self.hidden_dim)];
        check(extents, [self.init_range, self.embedding_init_range])
    }

    fn options(&self) -> BottleneckOptions {
        BottleneckOptions {
            mh_adapter: self.mh_adapter,
            output_adapter: self.output_adapter,
            reduction_factor: self.reduction_factor,
            multiple: 1,
            non_linearity: self.non_linearity,
            init_weights: self.init_weights,
        }
    }
}

impl Part for HyperFormerConfig {
    const NAME: &'static str = "hyperformer";
    const SUMMARY: &'static str = "adapters per task whose weights hypernetworks make";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for HyperFormerConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        Ok(Rc::new(HyperAdapters::new(self.options(), *self, tasks, form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*hyper_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

impl Generators for HyperFormerConfig {
    fn width(&self, site: &Site) -> TensorResult<i64> {
        reduced(site, site.out_features, self.reduction_factor)
    }

    fn generator(&self, place: &HyperSite, tasks: &[String]) -> TensorResult<Box<dyn Generator>> {
        let embedding = Embedding::new(self, place, tasks)?;
        Ok(Box::new(Hypernets::new(self, place, embedding)?))
    }

    fn has_norm(&self) -> bool {
        self.conditional_layer_norm
    }
}

/// One embedding per task for one place.
#[derive(Debug)]
struct Embedding {
    tasks: Vec<Tensor>,
    layer: Tensor,
    branch: Tensor,
    fc1: [Tensor; 2],
    fc2: [Tensor; 2],
    norm: [Tensor; 2],
}

impl Embedding {
    fn new(config: &HyperFormerConfig, place: &HyperSite, tasks: &[String]) -> TensorResult<Self> {
        let (e, hidden) = (config.embedding_dim, config.hidden_dim);
        let top = place.backbone();
        let init = Init::Normal(config.embedding_init_range);
        let linear = |name: &str, [rows, columns]: [i64; 2]| {
            let scope = top.pp("hyper_mlp").pp(name);
            let weight = Init::Normal(config.init_range);
            Ok::<_, polyptych_tensor::Error>([
                scope.shared_param("weight", &[rows, columns], weight)?,
                scope.shared_param("bias", &[rows], Init::ZEROS)?,
            ])
        };
        let norm = top.pp("hyper_norm");
        Ok(Self {
            tasks: task_embeddings(place, tasks, e, init)?,
            layer: place.block().shared_param("hyper_layer", &[e], init)?,
            branch: top.pp("hyper_branch").shared_param(place.branch(), &[e], init)?,
            fc1: linear("fc1", [hidden, 3 * e])?,
            fc2: linear("fc2", [e, hidden])?,
            norm: [
                norm.shared_param("weight", &[e], Init::ONES)?,
                norm.shared_param("bias", &[e], Init::ZEROS)?,
            ],
        })
    }

    /// `[tasks, embedding_dim]`.
    fn forward(&self) -> Tensor {
        let tasks = Tensor::stack(&self.tasks, 0);
        let like = |t: &Tensor| t.unsqueeze(0).expand_as(&tasks);
        let joined = Tensor::cat(&[&tasks, &like(&self.layer), &like(&self.branch)], 1);
        let linear = |x: &Tensor, [weight, bias]: &[Tensor; 2]| x.linear(weight, Some(bias));
        let x = linear(&linear(&joined, &self.fc1).relu(), &self.fc2);
        let [weight, bias] = &self.norm;
        x.layer_norm([x.size()[1]], Some(weight), Some(bias), NORM_EPS, false)
    }
}

/// The hypernetworks of one place.
#[derive(Debug)]
struct Hypernets {
    embedding: Embedding,
    down: Matrix,
    down_bias: Bias,
    up: Matrix,
    up_bias: Bias,
    norm: Option<[Matrix; 2]>,
}

impl Hypernets {
    fn new(
        config: &HyperFormerConfig,
        place: &HyperSite,
        embedding: Embedding,
    ) -> TensorResult<Self> {
        let (d, n, e) = (place.site.out_features, place.width, config.embedding_dim);
        let nets = place.hypernetworks(config.hypernetworks);
        let (first, last) =
            (Init::Normal(config.init_range), config.init_weights.last(config.init_range));
        let matrix = |name: &str, shape, init| Matrix::new(&nets, name, shape, e, init);
        let bias =
            |side, extent, init| Bias::new(config.bias, place, &nets, side, [extent, e], init);
        let norm = |nets: &Scope| {
            let part = |name: &str| Matrix::new(nets, name, [1, d], e, last);
            Ok::<_, polyptych_tensor::Error>([part("norm.weight")?, part("norm.bias")?])
        };
        // Behind a norm that starts at zero, a matrix of zeros would never get a gradient.
        let up = if config.conditional_layer_norm { first } else { last };
        Ok(Self {
            embedding,
            down: matrix("down.weight", [d, n], first)?,
            down_bias: bias("down", n, first)?,
            up: matrix("up.weight", [n, d], up)?,
            up_bias: bias("up", d, last)?,
            norm: config.conditional_layer_norm.then(|| norm(&nets)).transpose()?,
        })
    }
}

impl Generator for Hypernets {
    fn weights(&self) -> Weights {
        let e = self.embedding.forward();
        let row = |matrix: &Matrix| matrix.forward(&e).squeeze_dim(1);
        Weights {
            down: self.down.forward(&e),
            down_bias: self.down_bias.forward(&e),
            up: self.up.forward(&e),
            up_bias: self.up_bias.forward(&e),
            norm: self.norm.as_ref().map(|parts| parts.each_ref().map(row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value, tasks: &[&str]| {
            let config: HyperFormerConfig = serde_json::from_value(fields).unwrap();
            let tasks: Vec<String> = tasks.iter().map(|&task| task.to_owned()).collect();
            config.plan(&tasks, Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"embedding_dim": 0}), "embedding_dim: expected at least 1, found 0"),
            (json!({"hidden_dim": 0}), "hidden_dim: expected at least 1, found 0"),
            (json!({"init_range": 0.0}), "init_range: expected a positive number, found 0"),
            (
                json!({"embedding_init_range": -1.0}),
                "embedding_init_range: expected a positive number, found -1",
            ),
            (json!({"reduction_factor": 0}), "reduction_factor: expected at least 1, found 0"),
            (
                json!({"mh_adapter": false, "output_adapter": false}),
                "output_adapter: expected true where mh_adapter is false, found false",
            ),
        ] {
            assert_eq!(message(fields, &["sal"]), expected);
        }
        let twice = "tasks: expected every task once, found sal twice";
        assert_eq!(message(json!({}), &["sal", "sal"]), twice);
        assert_eq!(message(json!({}), &[]), "tasks: expected at least one task, found none");
    }
}
