//! The adapted linear layer of MTLoRA: one frozen product, one shared and `T` task terms.
//!
//! The frozen product runs once, on the shared stream. All tasks' low-rank terms are two batched
//! products on the task axis. Unequal ranks are padded with zeros, which changes no output.

use polyptych_tensor::{
    Activations, Init, LayerNorm, Linear, Projection, Result, Scope, Site, Tensor, cast, dropout,
    linear,
};

use super::{MtLoraConfig, SharedMode};
use crate::low_rank::{LowRank, LowRankInit};

/// See the module.
#[derive(Debug)]
pub(super) struct MtLoraLinear {
    base: Linear,
    shared: Shared,
    tasks: Vec<TaskFactors>,
    mode: SharedMode,
    dropout: f64,
}

/// What the shared output adds to `W x + b`.
#[derive(Debug)]
pub(super) enum Shared {
    /// Nothing: the factors are folded into `W`.
    None,
    /// `s B A x`.
    Factors { factors: LowRank, scale: Scale },
    /// `LayerNorm(sum_t y_t)`.
    Norm(LayerNorm),
}

/// A fixed or learnt factor.
#[derive(Debug)]
pub(super) enum Scale {
    Fixed(f64),
    Learnt(Tensor),
}

#[derive(Debug)]
struct TaskFactors {
    factors: LowRank,
    scale: Scale,
}

impl Shared {
    pub(super) fn factors(scope: &Scope, site: &Site, config: &MtLoraConfig) -> Result<Self> {
        let shape = [site.in_features, site.out_features, config.r];
        let factors =
            LowRank::new(scope, ("lora_shared_A", "lora_shared_B"), shape, LowRankInit::Identity)?;
        let scale = Scale::new(scope, "lora_shared_scale", config.scale, config.learnable_scale)?;
        Ok(Shared::Factors { factors, scale })
    }

    pub(super) fn norm(scope: &Scope, out_features: i64) -> Result<Self> {
        Ok(Shared::Norm(LayerNorm::new(&scope.pp("lora_norm"), out_features, 1e-5)?))
    }

    fn low_rank(&self, x: &Tensor) -> Option<Tensor> {
        match self {
            Shared::Factors { factors, scale } => Some(scale.apply(&factors.forward(x))),
            Shared::None | Shared::Norm(_) => None,
        }
    }
}

impl Scale {
    fn new(scope: &Scope, name: &str, value: f64, learnable: bool) -> Result<Self> {
        Ok(match learnable {
            true => Scale::Learnt(scope.param(name, &[1], Init::Const(value))?),
            false => Scale::Fixed(value),
        })
    }

    fn apply(&self, x: &Tensor) -> Tensor {
        match self {
            Scale::Fixed(value) => x * *value,
            Scale::Learnt(value) => x * cast(value, x.kind()),
        }
    }
}

impl MtLoraLinear {
    pub(super) fn new(
        scope: &Scope,
        site: &Site,
        base: Linear,
        shared: Shared,
        config: &MtLoraConfig,
        tasks: &[String],
    ) -> Result<Self> {
        let make = |task: &String| {
            let names = (format!("lora_tasks_A.{task}"), format!("lora_tasks_B.{task}"));
            let shape = [site.in_features, site.out_features, config.task_r(task)];
            let scale_name = format!("lora_task_scale.{task}");
            Ok(TaskFactors {
                factors: LowRank::new(scope, (&names.0, &names.1), shape, LowRankInit::Identity)?,
                scale: Scale::new(
                    scope,
                    &scale_name,
                    config.task_scale(task),
                    config.learnable_scale,
                )?,
            })
        };
        let tasks = tasks.iter().map(make).collect::<Result<_>>()?;
        Ok(Self { base, shared, tasks, mode: config.shared_mode, dropout: config.lora_dropout })
    }

    /// A layer without task factors treats every stream that passes as plain LoRA does.
    fn forward_shared(&self, x: &Activations, train: bool) -> Activations {
        let dropped = if train { self.dropout } else { 0.0 };
        x.map(|t| match &self.shared {
            Shared::Factors { factors, scale: Scale::Fixed(scale) } => {
                factors.beside(&self.base, t, *scale, dropped)
            }
            shared => match shared.low_rank(&dropout(t, self.dropout, train)) {
                Some(low) => self.base.forward(t) + low,
                None => self.base.forward(t),
            },
        })
    }

    /// `s_t B_t A_t x_t` for all tasks: `[tasks, rows, out]`.
    ///
    /// `x`: `[rows, in]` where all tasks read the same, else `[tasks, rows, in]`.
    fn task_terms(&self, x: &Tensor) -> Tensor {
        let (a, b) = self.stacked(x.kind());
        let down = if x.dim() == 2 {
            let [tasks, r, features] = a.size()[..] else { unreachable!("a is [tasks, r, in]") };
            let flat = linear(x, &a.view([tasks * r, features]), None);
            flat.view([-1, tasks, r]).transpose(0, 1)
        } else {
            x.bmm(&a.transpose(1, 2))
        };
        down.bmm(&b.transpose(1, 2))
    }

    /// All factors: `A` `[tasks, r, in]` and `B` `[tasks, out, r]`, the scales in `B`.
    fn stacked(&self, kind: polyptych_tensor::Kind) -> (Tensor, Tensor) {
        let r = self.tasks.iter().map(|t| t.factors.a.size()[0]).max().unwrap_or(0);
        let pad = |t: &TaskFactors| r - t.factors.a.size()[0];
        let a = self.tasks.iter().map(|t| padded(&t.factors.a, [0, 0, 0, pad(t)]));
        let b = self.tasks.iter().map(|t| t.scale.apply(&padded(&t.factors.b, [0, pad(t), 0, 0])));
        let (a, b): (Vec<Tensor>, Vec<Tensor>) = (a.collect(), b.collect());
        (cast(&Tensor::stack(&a, 0), kind), cast(&Tensor::stack(&b, 0), kind))
    }

    fn shared_output(&self, p: &Tensor, low: Option<&Tensor>, tasks: &Tensor) -> Tensor {
        match (&self.shared, low) {
            (Shared::Norm(norm), _) => {
                let sum = tasks.sum_dim_intlist([0i64].as_slice(), false, None);
                p + norm.forward(&sum)
            }
            (_, Some(low)) => p + low,
            (_, None) => p.shallow_clone(),
        }
    }
}

impl Projection for MtLoraLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        if self.tasks.is_empty() {
            return self.forward_shared(x, train);
        }
        let p = self.base.forward(&x.shared);
        let dropped = dropout(&x.shared, self.dropout, train);
        let low = self.shared.low_rank(&dropped);
        let features = dropped.size()[dropped.dim() - 1];
        let terms = match &x.per_task {
            Some(streams) => {
                self.task_terms(&streams.reshape([self.tasks.len() as i64, -1, features]))
            }
            None => self.task_terms(&dropped.reshape([-1, features])),
        };
        let base = match (&low, self.mode) {
            (Some(low), SharedMode::Matrixv2) => &p + low,
            _ => p.shallow_clone(),
        };
        let mut shape = p.size();
        shape.insert(0, self.tasks.len() as i64);
        let per_task = terms.view(shape.as_slice()) + base;
        let shared = self.shared_output(&p, low.as_ref(), &per_task);
        Activations { shared, per_task: Some(per_task) }
    }
}

fn padded(factor: &Tensor, pad: [i64; 4]) -> Tensor {
    if pad == [0; 4] { factor.shallow_clone() } else { factor.constant_pad_nd(pad) }
}
