//! The adapted linear layer of MTLoRA: one frozen product, one shared and `T` task terms.
//!
//! The frozen product runs once, on the shared stream. All tasks' low-rank terms are two batched
//! products on the task axis. Unequal ranks are padded with zeros, which changes no output.

use polyptych_kernels::{NARROW_RANK, gelu, linear, task_hidden, task_low_rank, task_up};
use polyptych_tensor::{
    Activations, Kind, LayerNorm, Linear, Narrow, Projection, Result, Scope, Site, Tensor, cast,
    dropout,
};

use super::config::{MtLoraConfig, SharedMode};
use crate::blocks::asked::Asked;
use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::scale::Scale;

/// See the module.
#[derive(Debug)]
pub(super) struct MtLoraLinear {
    base: Linear,
    shared: Shared,
    tasks: Vec<TaskFactors>,
    /// Whether anybody reads the streams of tasks.
    streams: bool,
    mode: SharedMode,
    dropout: f64,
    asked: Asked,
}

/// What the shared output adds to `W x + b`.
#[derive(Debug)]
pub(super) enum Shared {
    /// Nothing: the factors are merged into `W`.
    None,
    /// `s B A x`.
    Factors { factors: LowRank, scale: Scale },
    /// `LayerNorm(sum_t y_t)`.
    Norm(LayerNorm),
}

#[derive(Debug)]
struct TaskFactors {
    factors: LowRank,
    scale: Scale,
}

impl Shared {
    pub(super) fn factors(scope: &Scope, site: &Site, config: &MtLoraConfig) -> Result<Self> {
        let shape = [site.in_features, site.out_features, config.shared_r(site.stage)];
        let factors =
            LowRank::new(scope, ("lora_shared_A", "lora_shared_B"), shape, LowRankInit::Identity)?;
        let scale = config.shared_scale(site.stage);
        let scale = Scale::new(scope, "lora_shared_scale", scale, config.learnable_scale)?;
        Ok(Shared::Factors { factors, scale })
    }

    pub(super) fn norm(scope: &Scope, out_features: i64) -> Result<Self> {
        Ok(Shared::Norm(LayerNorm::new(&scope.pp("lora_norm"), out_features, 1e-5)?))
    }

    fn low_rank(&self, x: &Tensor) -> Option<Tensor> {
        match self {
            Shared::Factors { factors, scale } => Some(scale.apply(factors.forward(x))),
            Shared::None | Shared::Norm(_) => None,
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
            let shape = [site.in_features, site.out_features, config.task_r(task, site.stage)];
            let scale_name = format!("lora_task_scale.{task}");
            Ok(TaskFactors {
                factors: LowRank::new(scope, (&names.0, &names.1), shape, LowRankInit::Identity)?,
                scale: Scale::new(
                    scope,
                    &scale_name,
                    config.task_scale(task, site.stage),
                    config.learnable_scale,
                )?,
            })
        };
        let tasks = tasks.iter().map(make).collect::<Result<_>>()?;
        let dropout = config.dropout(site.stage);
        let (mode, asked) = (config.shared_mode, Asked::default());
        Ok(Self { base, shared, tasks, streams: true, mode, dropout, asked })
    }

    /// As a layer of the plan that is asked for tasks through `asked`.
    pub(super) fn asked_by(self, asked: &Asked) -> Self {
        Self { asked: asked.clone(), ..self }
    }

    /// The same for readers of the shared stream alone.
    pub(super) fn without_streams(self) -> Self {
        Self { streams: false, ..self }
    }

    fn has_streams(&self) -> bool {
        self.streams && !self.tasks.is_empty()
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

    /// `A_t x` of the tasks that are asked for, `[tasks, .., r]`, where all read the same `x`,
    /// `[.., in]`. It is one product for all tasks, whose last bits do not depend on who asks.
    fn narrowed(&self, x: &Tensor, a: &Tensor) -> Tensor {
        let [tasks, r, features] = a.size()[..] else { unreachable!("a is [tasks, r, in]") };
        let mut shape = x.size();
        shape.pop();
        shape.extend([tasks, r]);
        let low = linear(x, &a.reshape([tasks * r, features]), None).view(shape.as_slice());
        let axes = low.dim() as i64;
        let order: Vec<i64> = [axes - 2].into_iter().chain(0..axes - 2).chain([axes - 1]).collect();
        self.asked.select(low.permute(order))
    }

    /// The factors of the tasks that are asked for, as those of [`MtLoraLinear::stacked`].
    fn asked_for(&self, kind: Kind) -> (Tensor, Tensor) {
        let (a, b) = self.stacked(kind);
        (self.asked.select(a), self.asked.select(b))
    }

    /// Whether the shared output can be had without those of the tasks.
    fn hides(&self) -> bool {
        self.narrow().is_some() && !matches!(self.shared, Shared::Norm(_))
    }

    fn rank(&self) -> i64 {
        self.tasks.iter().map(|t| t.factors.a.size()[0]).max().unwrap_or(0)
    }

    /// All factors: `A` `[tasks, r, in]` and `B` `[tasks, out, r]`, the scales in `B`.
    fn stacked(&self, kind: Kind) -> (Tensor, Tensor) {
        let r = self.rank();
        let pad = |t: &TaskFactors| r - t.factors.a.size()[0];
        let a = self.tasks.iter().map(|t| padded(&t.factors.a, [0, 0, 0, pad(t)]));
        let b = self.tasks.iter().map(|t| t.scale.apply(padded(&t.factors.b, [0, pad(t), 0, 0])));
        let (a, b): (Vec<Tensor>, Vec<Tensor>) = (a.collect(), b.collect());
        (cast(&Tensor::stack(&a, 0), kind), cast(&Tensor::stack(&b, 0), kind))
    }

    /// What all tasks read of `x`.
    fn common(&self, x: &Tensor, train: bool) -> Common {
        let product = self.base.forward(x);
        let dropped = dropout(x, self.dropout, train);
        let with_low = self.shared.low_rank(&dropped).map(|low| &product + low);
        Common { product, dropped, with_low }
    }

    /// What the terms of tasks are added to.
    fn under_tasks<'c>(&self, common: &'c Common) -> &'c Tensor {
        match (&common.with_low, self.mode) {
            (Some(sum), SharedMode::Matrixv2) => sum,
            _ => &common.product,
        }
    }

    /// The output, given that of the tasks.
    fn output(&self, common: Common, per_task: Tensor) -> Activations {
        let shared = match &self.shared {
            Shared::Norm(norm) => {
                let sum = per_task.sum_dim_intlist([0i64].as_slice(), false, None);
                common.product + norm.forward(&sum)
            }
            Shared::Factors { .. } | Shared::None => common.with_low.unwrap_or(common.product),
        };
        Activations::Both { shared, per_task }
    }
}

/// See [`MtLoraLinear::common`].
struct Common {
    /// `W x + b`.
    product: Tensor,
    /// `x` behind dropout.
    dropped: Tensor,
    /// `W x + b + s B A x`, where the shared factors are there.
    with_low: Option<Tensor>,
}

impl Projection for MtLoraLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        if !self.has_streams() {
            return self.forward_shared(x, train);
        }
        let common = self.common(x.expect_shared(), train);
        let base = self.under_tasks(&common);
        let (a, b) = self.stacked(x.kind());
        let asked_b = self.asked.select(b);
        let per_task = match x.per_task() {
            Some(streams) => task_low_rank(streams, base, (&self.asked.select(a), &asked_b)),
            None => task_up(&self.narrowed(&common.dropped, &a), Some(base), &asked_b),
        };
        self.output(common, per_task)
    }

    fn forward_perceptron(
        &self,
        x: &Activations,
        next: &dyn Projection,
        train: bool,
    ) -> Activations {
        match (x.per_task(), next.narrow()) {
            (Some(streams), Some(reader)) if self.hides() => {
                let common = self.common(x.expect_shared(), train);
                let (a, b) = self.asked_for(streams.kind());
                let read = reader.matrices(streams.kind());
                let low = task_hidden(streams, self.under_tasks(&common), (&a, &b), &read);
                let shared = common.with_low.unwrap_or(common.product);
                reader.forward_narrow(&gelu(&shared), &low, train)
            }
            _ => next.forward(&self.forward(x, train).map(gelu), train),
        }
    }

    fn narrow(&self) -> Option<&dyn Narrow> {
        (self.has_streams() && self.rank() <= NARROW_RANK).then_some(self)
    }
}

impl Narrow for MtLoraLinear {
    fn matrices(&self, kind: Kind) -> Tensor {
        self.asked_for(kind).0
    }

    fn forward_narrow(&self, shared: &Tensor, low: &Tensor, train: bool) -> Activations {
        let common = self.common(shared, train);
        let (_, b) = self.asked_for(low.kind());
        let per_task = task_up(low, Some(self.under_tasks(&common)), &b);
        self.output(common, per_task)
    }
}

fn padded(factor: &Tensor, pad: [i64; 4]) -> Tensor {
    if pad == [0; 4] { factor.shallow_clone() } else { factor.constant_pad_nd(pad) }
}
