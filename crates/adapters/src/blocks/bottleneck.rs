//! Bottlenecks behind a block's two branches, whatever their matrices are made of.
//!
//! With `y` the output of `attn.proj` or of `mlp.fc2`, `n` the width of the bottleneck and
//! `sigma` its activation, what goes on in place of `y` is `y + sigma(y W_d + b_d) W_u + b_u`,
//! `W_d` being `[d, n]` and `W_u` `[n, d]`. All tasks share it.

use std::fmt::Debug;

use polyptych_tensor::{
    Activations, Init, Linear, Plain, Plan, Projection, Result as TensorResult, Scope, Site,
    SiteKind, Tensor, cast,
};

use crate::blocks::activation::{InitWeights, NonLinearity, UNMERGEABLE};
use crate::error::{Result, config};

/// Where bottlenecks stand and what they have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BottleneckOptions {
    pub(crate) mh_adapter: bool,
    pub(crate) output_adapter: bool,
    pub(crate) reduction_factor: i64,
    /// The width of a bottleneck is rounded up to a multiple of this.
    pub(crate) multiple: i64,
    pub(crate) non_linearity: NonLinearity,
    pub(crate) init_weights: InitWeights,
}

impl BottleneckOptions {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.reduction_factor < 1 {
            return Err(config("reduction_factor", "at least 1", self.reduction_factor));
        }
        match self.mh_adapter || self.output_adapter {
            true => Ok(()),
            false => Err(config("output_adapter", "true where mh_adapter is false", "false")),
        }
    }

    /// Whether a bottleneck stands behind projections of `kind`.
    pub(crate) fn stands_behind(&self, kind: SiteKind) -> bool {
        match kind {
            SiteKind::Proj => self.mh_adapter,
            SiteKind::Fc2 => self.output_adapter,
            SiteKind::Fc1 | SiteKind::Fc1Gate | SiteKind::Reduction => false,
            SiteKind::Qkv | SiteKind::Q | SiteKind::Kv => false,
            SiteKind::Mlp | SiteKind::Block => false,
        }
    }

    pub(crate) fn width(&self, dim: i64) -> i64 {
        let width = (dim / self.reduction_factor).max(1);
        (width + self.multiple - 1) / self.multiple * self.multiple
    }
}

/// A matrix `[in, out]`, stored in whatever form.
pub(crate) trait Matrix: Debug {
    /// `x W` for `x`: `[.., in]`.
    fn forward(&self, x: &Tensor) -> Tensor;
}

/// Makes the matrices of a method.
pub(crate) trait Matrices: Debug {
    /// Makes a matrix of `[in, out]` for `site` below `scope`, of zeros if `zero`.
    fn make(
        &self,
        scope: &Scope,
        site: &Site,
        shape: [i64; 2],
        zero: bool,
    ) -> TensorResult<Box<dyn Matrix>>;
}

/// Bottlenecks behind the branches of every block as a plan.
#[derive(Debug)]
pub(crate) struct Bottlenecks {
    options: BottleneckOptions,
    matrices: Box<dyn Matrices>,
}

impl Bottlenecks {
    pub(crate) fn new(
        options: BottleneckOptions,
        matrices: impl Matrices + 'static,
    ) -> Result<Self> {
        options.validate()?;
        Ok(Self { options, matrices: Box::new(matrices) })
    }

    fn bottleneck(&self, scope: &Scope, site: &Site) -> TensorResult<Bottleneck> {
        let (dim, width) = (site.out_features, self.options.width(site.out_features));
        let zero = self.options.init_weights == InitWeights::Identity;
        let affine = |name: &str, shape: [i64; 2], zero| {
            let scope = scope.pp(name);
            let matrix = self.matrices.make(&scope, site, shape, zero)?;
            let bias = scope.param("bias", &[shape[1]], Init::ZEROS)?;
            Ok::<_, polyptych_tensor::Error>(Affine { matrix, bias })
        };
        Ok(Bottleneck {
            down: affine("adapter_down", [dim, width], false)?,
            up: affine("adapter_up", [width, dim], zero)?,
            non_linearity: self.options.non_linearity,
        })
    }
}

impl Plan for Bottlenecks {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        Ok(match self.options.stands_behind(site.kind) {
            true => {
                Box::new(Adapted { base, bottleneck: self.bottleneck(&scope.adapter(), site)? })
            }
            false => Box::new(Plain(base)),
        })
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.to_owned())
    }
}

#[derive(Debug)]
struct Affine {
    matrix: Box<dyn Matrix>,
    bias: Tensor,
}

impl Affine {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.matrix.forward(x) + cast(&self.bias, x.kind())
    }
}

#[derive(Debug)]
struct Bottleneck {
    down: Affine,
    up: Affine,
    non_linearity: NonLinearity,
}

impl Bottleneck {
    fn forward(&self, x: &Tensor) -> Tensor {
        x + self.up.forward(&self.non_linearity.apply(&self.down.forward(x)))
    }
}

#[derive(Debug)]
struct Adapted {
    base: Linear,
    bottleneck: Bottleneck,
}

impl Projection for Adapted {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        x.map(|t| self.bottleneck.forward(&self.base.forward(t)))
    }
}
