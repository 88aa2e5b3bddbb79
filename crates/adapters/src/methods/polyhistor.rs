//! Polyhistor and Polyhistor-Lite (Liu et al., NeurIPS 2022, arXiv 2210.03265).
//!
//! Hypernetworks, which all tasks share, make each task's bottlenecks from its embedding `v_t`, in
//! two factors each; in Polyhistor-Lite they make one small template per task, that a kernel of each
//! layer grows to the layer's width:
//!
//! ```text
//! W_t   = P_t Q_t,  vec(P_t) = H_p v_t,  vec(Q_t) = H_q v_t       P_t: [in, r], Q_t: [r, out]
//! W_l,t = K_l (x) W_t                                             Lite: K_l is [m, m]
//! ```
//!
//! `m` is a layer's width over that of the backbone's first block. There is no public code: each
//! choice of ours is a field of [`PolyhistorConfig`]. Of the two factors of an up-projection the
//! second alone starts at zero, for if both did, neither would ever get a gradient.

use std::cell::Cell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{Init, Kind, Plan, Result as TensorResult, Site, Tensor, no_grad};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{InitWeights, NonLinearity};
use crate::blocks::bottleneck::BottleneckOptions;
use crate::blocks::hyper::adapter::{Generator, Weights};
use crate::blocks::hyper::parts::{
    Bias, HyperBias, HyperSite, Hypernetworks, Matrix, task_embeddings,
};
use crate::blocks::hyper::{Generators, HyperAdapters, check, reduced, wrong};
use crate::blocks::kronecker::kernel_times_each;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of Polyhistor and Polyhistor-Lite.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolyhistorConfig {
    /// Whether layers grow one template (Polyhistor-Lite).
    pub lite: bool,
    /// Whether a bottleneck stands behind attention.
    pub mh_adapter: bool,
    /// Whether one stands behind the MLP.
    pub output_adapter: bool,
    /// Reduction factor: width of the stream, or of the template, divided by that of the bottleneck,
    /// which is rounded down.
    pub reduction_factor: i64,
    /// Activation of the bottleneck.
    pub non_linearity: NonLinearity,
    /// Length `e` of a task's embedding.
    pub embedding_dim: i64,
    /// `r`, at most the smaller extent of a matrix or template.
    pub rank: i64,
    /// Which bottlenecks share hypernetworks; those of a template serve all.
    pub hypernetworks: Hypernetworks,
    /// Where biases come from; with `lite` the layer.
    pub bias: HyperBias,
    /// How hypernetworks start: so that bottlenecks add nothing, or all alike.
    pub init_weights: InitWeights,
    /// Standard deviation of the first values of hypernetworks, and of kernels around the identity.
    pub init_range: f64,
    /// Standard deviation of the first values of embeddings.
    pub embedding_init_range: f64,
}

impl Default for PolyhistorConfig {
    fn default() -> Self {
        Self {
            lite: false,
            mh_adapter: false,
            output_adapter: true,
            reduction_factor: 1,
            non_linearity: NonLinearity::Gelu,
            embedding_dim: 64,
            rank: 16,
            hypernetworks: Hypernetworks::Width,
            bias: HyperBias::Layer,
            init_weights: InitWeights::Identity,
            init_range: 1e-2,
            embedding_init_range: 1.0,
        }
    }
}

impl PolyhistorConfig {
    fn validate(&self) -> Result<()> {
        let extents = [("embedding_dim", self.embedding_dim), ("rank", self.rank)];
        check(extents, [self.init_range, self.embedding_init_range])?;
        if self.lite && self.hypernetworks == Hypernetworks::Block {
            return Err(config("hypernetworks", "width where lite is true", "block"));
        }
        if self.lite && self.bias == HyperBias::Generated {
            return Err(config("bias", "layer where lite is true", "generated"));
        }
        Ok(())
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

    fn init(&self, ends: bool) -> Init {
        match ends {
            true => self.init_weights.last(self.init_range),
            false => Init::Normal(self.init_range),
        }
    }
}

impl Part for PolyhistorConfig {
    const NAME: &'static str = "polyhistor";
    const SUMMARY: &'static str = "adapters per task whose weights decomposed hypernetworks make";

    fn example() -> Self {
        Self { rank: 4, ..Self::default() }
    }
}

impl Method for PolyhistorConfig {
    fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        let generators = Polyhistor { config: *self, first: Cell::new(None) };
        Ok(Rc::new(HyperAdapters::new(self.options(), generators, tasks, form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*hyper_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }
}

#[derive(Debug)]
struct Polyhistor {
    config: PolyhistorConfig,
    /// Width of the first block that asks, which is the template's. A cell, since only the backbone
    /// knows its widths, and it asks through a shared reference.
    first: Cell<Option<i64>>,
}

impl Polyhistor {
    /// How many times as wide as what hypernetworks make the stream at `site` is.
    fn growth(&self, site: &Site) -> TensorResult<i64> {
        let d = site.out_features;
        let first = if self.config.lite { self.first.get().unwrap_or(d) } else { d };
        self.first.set(self.first.get().or(Some(d)));
        match d % first {
            0 => Ok(d / first),
            _ => Err(wrong(site, "lite", format!("a width that {first} divides"), d)),
        }
    }
}

impl Generators for Polyhistor {
    fn width(&self, site: &Site) -> TensorResult<i64> {
        let growth = self.growth(site)?;
        let n = reduced(site, site.out_features / growth, self.config.reduction_factor)?;
        match self.config.rank <= n {
            true => Ok(growth * n),
            false => Err(wrong(site, "rank", format!("at most {n}"), self.config.rank)),
        }
    }

    fn generator(&self, place: &HyperSite, tasks: &[String]) -> TensorResult<Box<dyn Generator>> {
        let (config, growth) = (&self.config, self.growth(place.site)?);
        let (d, n, e) = (place.site.out_features, place.width, config.embedding_dim);
        let nets = match config.lite {
            true => place.backbone().pp("hyper_net").pp("template"),
            false => place.hypernetworks(config.hypernetworks),
        };
        let nets = nets.pp(place.branch());
        let side = |side: &'static str, shape: [i64; 2]| -> TensorResult<Side> {
            let (ends, scope) = (side == "up", nets.pp(side));
            let [rows, columns] = shape.map(|extent| extent / growth);
            let factor = |name, shape, ends| Matrix::new(&scope, name, shape, e, config.init(ends));
            let kernel = || kernel(place, side, growth, config.init_range);
            Ok(Side {
                left: factor("left", [rows, config.rank], false)?,
                right: factor("right", [config.rank, columns], ends)?,
                kernel: config.lite.then(kernel).transpose()?,
                bias: Bias::new(config.bias, place, &nets, side, [shape[1], e], config.init(ends))?,
            })
        };
        let tasks = task_embeddings(place, tasks, e, Init::Normal(config.embedding_init_range))?;
        Ok(Box::new(Decomposed { tasks, down: side("down", [d, n])?, up: side("up", [n, d])? }))
    }

    fn has_norm(&self) -> bool {
        false
    }
}

/// `hyper_<side>.kernel` of the layer, `[growth, growth]`, near the identity.
fn kernel(place: &HyperSite, side: &str, growth: i64, std: f64) -> TensorResult<Tensor> {
    let scope = place.scope.pp(format!("hyper_{side}"));
    let mut kernel = scope.param("kernel", &[growth, growth], Init::Normal(std))?;
    let identity = Tensor::eye(growth, (Kind::Float, kernel.device()));
    let _ = no_grad(|| kernel.g_add_(&identity));
    Ok(kernel)
}

/// What makes one matrix of a bottleneck and its bias.
#[derive(Debug)]
struct Side {
    left: Matrix,
    right: Matrix,
    kernel: Option<Tensor>,
    bias: Bias,
}

impl Side {
    /// `[tasks, e]` to `[tasks, in, out]`.
    fn matrix(&self, embeddings: &Tensor) -> Tensor {
        let product = self.left.forward(embeddings).bmm(&self.right.forward(embeddings));
        match &self.kernel {
            Some(kernel) => kernel_times_each(kernel, &product),
            None => product,
        }
    }
}

/// The decomposed hypernetworks of one place.
#[derive(Debug)]
struct Decomposed {
    tasks: Vec<Tensor>,
    down: Side,
    up: Side,
}

impl Generator for Decomposed {
    fn weights(&self) -> Weights {
        let v = Tensor::stack(&self.tasks, 0);
        Weights {
            down: self.down.matrix(&v),
            down_bias: self.down.bias.forward(&v),
            up: self.up.matrix(&v),
            up_bias: self.up.bias.forward(&v),
            norm: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: PolyhistorConfig = serde_json::from_value(fields).unwrap();
            let tasks = ["sal".to_owned()];
            config.plan(&tasks, Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"embedding_dim": 0}), "embedding_dim: expected at least 1, found 0"),
            (json!({"rank": 0}), "rank: expected at least 1, found 0"),
            (json!({"init_range": 0.0}), "init_range: expected a positive number, found 0"),
            (
                json!({"lite": true, "hypernetworks": "block"}),
                "hypernetworks: expected width where lite is true, found block",
            ),
            (
                json!({"lite": true, "bias": "generated"}),
                "bias: expected layer where lite is true, found generated",
            ),
            (
                json!({"output_adapter": false}),
                "output_adapter: expected true where mh_adapter is false, found false",
            ),
        ] {
            assert_eq!(message(fields), expected);
        }
    }
}
