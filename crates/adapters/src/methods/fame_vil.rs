//! FAME-ViL (Han et al., CVPR 2023, arXiv 2303.02483): adapters of tasks beside the perceptrons of
//! an image tower and of a text tower, and cross-attention between the two for tasks that ask in
//! pictures and words at once.
//!
//! ```text
//! TSA:  x_t + MLP(LN(x_t)) + s_t (W_up^t relu(W_down^t LN_t(x_t) + b_down^t) + b_up^t)
//! XAA:  v + s (W_up relu(W_down MHA(q = LN(v), kv = LN(u)) + b_down) + b_up),  and u likewise from v
//! ```
//!
//! `W_up`, its bias included, starts at 0, so that every task starts as the plain towers, alone and
//! fused. Every task has a stream of its own through its tower. The published XAA stands beside the
//! perceptron; ours reads what both blocks give and joins behind them.

mod cross_attention;

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Init, Parallel, ParallelOutput, ParameterKinds, Plan, Result as TensorResult,
    Scope, Site, Tensor, cast,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::UNMERGEABLE;
use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Fusion, Method};

pub use cross_attention::CrossAttention;

/// PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// Configuration of FAME-ViL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FameVilConfig {
    /// Width of every bottleneck; 64 as published.
    pub bottleneck: i64,
    /// First value of the factors `s`, which train.
    pub scale: f64,
    /// Tasks whose two towers meet behind every block; all others run in two streams.
    pub fusion: Vec<String>,
    /// Attention heads of the cross-attention.
    pub num_heads: i64,
    /// Whether the tower's own weights train too, as in the published code.
    pub train_tower: bool,
}

impl Default for FameVilConfig {
    fn default() -> Self {
        Self { bottleneck: 64, scale: 1.0, fusion: Vec::new(), num_heads: 4, train_tower: false }
    }
}

impl FameVilConfig {
    fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        for (key, extent) in [("bottleneck", self.bottleneck), ("num_heads", self.num_heads)] {
            if extent < 1 {
                return Err(config(key, "at least 1", extent));
            }
        }
        match self.scale.is_finite() {
            true => Ok(()),
            false => Err(config("scale", "a finite number", self.scale)),
        }
    }
}

impl Part for FameVilConfig {
    const NAME: &'static str = "fame_vil";
    const SUMMARY: &'static str = "adapters of tasks, and cross-attention between images and texts";

    fn example() -> Self {
        Self { bottleneck: 4, ..Self::default() }
    }
}

impl Method for FameVilConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        let (config, tasks) = (self.clone(), tasks.to_vec());
        Ok(Rc::new(FameVil { config, tasks, chosen: Rc::default() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*fame_*"]
    }

    fn task_lists(&self) -> &'static [&'static str] {
        &["fusion"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task in one trunk")
    }

    fn fusion(&self) -> Option<Fusion> {
        let FameVilConfig { bottleneck, scale, num_heads, .. } = *self;
        let tasks = self.fusion.clone();
        (!tasks.is_empty()).then_some(Fusion { tasks, bottleneck, scale, num_heads })
    }
}

#[derive(Debug)]
struct FameVil {
    config: FameVilConfig,
    tasks: Vec<String>,
    /// The one task that runs; all where there is none.
    chosen: Rc<Cell<Option<usize>>>,
}

impl Plan for FameVil {
    fn parallel(&self, scope: &Scope, mlp: &Site) -> TensorResult<Option<Box<dyn Parallel>>> {
        Ok(Some(Box::new(TaskAdapters::new(&scope.adapter(), self, mlp.in_features)?)))
    }

    fn choose_task(&self, index: Option<usize>) {
        self.chosen.set(index);
    }

    fn trains(&self, _kinds: &ParameterKinds) -> bool {
        self.config.train_tower
    }

    fn keeps_streams(&self) -> bool {
        true
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.to_owned())
    }
}

/// The adapters of all tasks beside one MLP; every list has one entry for each task.
#[derive(Debug)]
struct TaskAdapters {
    dim: i64,
    norm: Affine,
    down: Affine,
    up: Affine,
    scale: Vec<Tensor>,
    chosen: Rc<Cell<Option<usize>>>,
}

#[derive(Debug)]
struct Affine {
    weight: Vec<Tensor>,
    bias: Vec<Tensor>,
}

impl TaskAdapters {
    fn new(scope: &Scope, plan: &FameVil, dim: i64) -> TensorResult<Self> {
        let n = plan.config.bottleneck;
        let each = |name: &str, shape: &[i64], init| -> TensorResult<Vec<Tensor>> {
            let scope = scope.pp(name);
            plan.tasks.iter().map(|task| scope.param(task, shape, init)).collect()
        };
        let affine = |name: &str, shape: &[i64], init| -> TensorResult<Affine> {
            let weight = each(&format!("fame_{name}_weight"), shape, init)?;
            let bias = each(&format!("fame_{name}_bias"), &shape[..1], Init::ZEROS)?;
            Ok(Affine { weight, bias })
        };
        Ok(Self {
            dim,
            norm: affine("norm", &[dim], Init::ONES)?,
            down: affine("down", &[n, dim], Init::fan_in(dim))?,
            up: affine("up", &[dim, n], Init::ZEROS)?,
            scale: each("fame_scale", &[1], Init::Const(plan.config.scale))?,
            chosen: plan.chosen.clone(),
        })
    }

    /// `[tasks, rows, dim]` to the same, for the tasks `of`.
    fn term(&self, x: &Tensor, of: Range<usize>) -> Tensor {
        let row = |tensors: &[Tensor]| {
            cast(&Tensor::stack(&tensors[of.clone()], 0), x.kind()).unsqueeze(1)
        };
        let normed = plain_norm(x, self.dim) * row(&self.norm.weight) + row(&self.norm.bias);
        let hidden = self.down.linear(&normed, of.clone()).relu();
        self.up.linear(&hidden, of.clone()) * row(&self.scale)
    }
}

impl Affine {
    /// `x_t W_t^T + b_t` for the tasks `of`.
    fn linear(&self, x: &Tensor, of: Range<usize>) -> Tensor {
        let all = |tensors: &[Tensor]| cast(&Tensor::stack(&tensors[of.clone()], 0), x.kind());
        x.matmul(&all(&self.weight).transpose(1, 2)) + all(&self.bias).unsqueeze(1)
    }
}

/// Layer normalisation without scale and shift.
fn plain_norm(x: &Tensor, dim: i64) -> Tensor {
    let (ones, zeros) =
        (Tensor::ones([dim], (x.kind(), x.device())), Tensor::zeros([dim], (x.kind(), x.device())));
    x.layer_norm([dim], Some(&ones), Some(&zeros), NORM_EPS, false)
}

impl Parallel for TaskAdapters {
    fn forward(
        &self,
        residual: &Activations,
        _normed: &Activations,
        _train: bool,
    ) -> ParallelOutput {
        if let (Some(task), Some(shared)) = (self.chosen.get(), residual.shared()) {
            let term = self.term(&shared.reshape([1, -1, self.dim]), task..task + 1);
            let added = Activations::Shared(term.view_as(shared));
            return ParallelOutput { added, aside: None };
        }
        let tasks = self.scale.len() as i64;
        let streams = match residual.per_task() {
            Some(streams) => streams.shallow_clone(),
            None => {
                let shared = residual.expect_shared();
                let shape = [&[tasks], shared.size().as_slice()].concat();
                shared.unsqueeze(0).expand(shape, false)
            }
        };
        let term = self
            .term(&streams.reshape([tasks, -1, self.dim]), 0..self.scale.len())
            .view_as(&streams);
        ParallelOutput { added: Activations::PerTask(term), aside: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: FameVilConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["caption".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for (fields, expected) in [
            (json!({"bottleneck": 0}), "bottleneck: expected at least 1, found 0"),
            (json!({"num_heads": 0}), "num_heads: expected at least 1, found 0"),
        ] {
            assert_eq!(message(fields), expected);
        }
    }

    #[test]
    fn only_named_tasks_are_fused() {
        assert_eq!(FameVilConfig::default().fusion(), None);
        let config = FameVilConfig { fusion: vec!["modified".into()], ..FameVilConfig::default() };
        assert_eq!(config.fusion().unwrap().tasks, ["modified"]);
    }
}
