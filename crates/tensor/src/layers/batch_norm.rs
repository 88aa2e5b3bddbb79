//! Batch normalisation over channels.

use std::sync::Arc;

use tch::{Kind, Tensor, no_grad};

use crate::batch_sum::BatchSum;
use crate::{Init, ParameterKind, Result, Scope};
use polyptych_kernels::{self as kernels, BatchNorm};

/// `y = (x - mean) / sqrt(var + eps) * weight + bias` per channel; batch statistics in training,
/// running ones otherwise.
#[derive(Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    /// Sums over all parts of a batch, where processes share the statistics.
    batch_sum: Option<Arc<dyn BatchSum>>,
}

impl BatchNorm2d {
    const MOMENTUM: f64 = 0.1;
    const EPS: f64 = 1e-5;

    /// Momentum 0.1 and eps 1e-5, PyTorch's defaults.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(scope: &Scope, chans: i64) -> Result<Self> {
        let scope = scope.of_kind(ParameterKind::Norm);
        Ok(Self {
            weight: scope.param("weight", &[chans], Init::ONES)?,
            bias: scope.bias(&[chans], Init::ZEROS)?,
            running_mean: scope.buffer("running_mean", &[chans], Init::ZEROS)?,
            running_var: scope.buffer("running_var", &[chans], Init::ONES)?,
            batch_sum: scope.batch_sum(),
        })
    }

    /// Normalises `[batch, chans, height, width]`; statistics are kept in float32.
    ///
    /// # Errors
    /// A process that is gone, where several share the statistics.
    pub fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if let Some(batch_sum) = self.batch_sum.as_ref().filter(|_| train) {
            return self.shared(batch_sum.as_ref(), x, &[0, 2, 3]);
        }
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        let wide = x.to_kind(Kind::Float);
        Ok(wide
            .batch_norm(weight, bias, mean, var, train, Self::MOMENTUM, Self::EPS, false)
            .to_kind(x.kind()))
    }

    /// `relu` of the same, for channels that come last: `[.., chans]`.
    ///
    /// # Errors
    /// As [`BatchNorm2d::forward`].
    pub fn forward_relu(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        if let Some(batch_sum) = self.batch_sum.as_ref().filter(|_| train) {
            let rows: Vec<i64> = (0..x.dim() as i64 - 1).collect();
            return Ok(self.shared(batch_sum.as_ref(), x, &rows)?.relu());
        }
        let rows = x.flatten(0, x.dim() as i64 - 2);
        Ok(kernels::batch_norm_relu(&rows, &self.parts(), train).view(x.size().as_slice()))
    }

    /// What it learns and keeps; nothing in training where processes share the statistics.
    pub fn alone(&self, train: bool) -> Option<BatchNorm<'_>> {
        (self.batch_sum.is_none() || !train).then(|| self.parts())
    }

    fn parts(&self) -> BatchNorm<'_> {
        BatchNorm {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.running_mean,
            running_var: &self.running_var,
            momentum: Self::MOMENTUM,
            eps: Self::EPS,
        }
    }

    /// In training, with statistics over `axes` of the parts of all processes: PyTorch's
    /// `SyncBatchNorm`.
    fn shared(&self, all: &dyn BatchSum, x: &Tensor, axes: &[i64]) -> Result<Tensor> {
        let wide = x.to_kind(Kind::Float);
        let sums = wide.sum_dim_intlist(axes, false, Kind::Float);
        let chans = sums.size()[0];
        let count = (x.numel() as i64 / chans) as f64;
        let count = Tensor::full([1], count, (Kind::Float, x.device()));
        let sums = all.sum(&Tensor::cat(&[sums, count], 0))?;
        let count = sums.narrow(0, chans, 1).detach();
        let mut shape = vec![1; x.dim()];
        let channel = (0..x.dim()).find(|axis| !axes.contains(&(*axis as i64))).unwrap_or(0);
        shape[channel] = chans;
        let mean = sums.narrow(0, 0, chans) / &count;
        let apart = wide - mean.view(shape.as_slice());
        let squares = apart.square().sum_dim_intlist(axes, false, Kind::Float);
        let var = all.sum(&squares)? / &count;
        self.remember(&mean, &(&var * (&count / (&count - 1.0))))?;
        let scale = (var + Self::EPS).rsqrt() * &self.weight;
        let normed = apart * scale.view(shape.as_slice()) + self.bias.view(shape.as_slice());
        Ok(normed.to_kind(x.kind()))
    }

    fn remember(&self, mean: &Tensor, var: &Tensor) -> Result<()> {
        no_grad(|| {
            for (running, new) in [(&self.running_mean, mean), (&self.running_var, var)] {
                let moved = running * (1.0 - Self::MOMENTUM) + new * Self::MOMENTUM;
                running.shallow_clone().f_copy_(&moved)?;
            }
            Ok(())
        })
    }
}
