//! Bottlenecks behind a block's two branches, whatever their matrices are made of.
//!
//! With `y` the output of `attn.proj` or of `mlp.fc2`, `n` the width of the bottleneck and
//! `sigma` its activation, what goes on in place of `y` is `y + sigma(y W_d + b_d) W_u + b_u`,
//! `W_d` being `[d, n]` and `W_u` `[n, d]`. All tasks share it.

use std::fmt::Debug;

use polyptych_tensor::{
    Activations, Init, Linear, NoAdapter, Plain, Plan, Projection, Result as TensorResult, Scope,
    Site, SiteKind, Tensor, Tensors, cast,
};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::config;

/// Why a model with bottlenecks cannot be folded.
pub(crate) const UNFOLDABLE: &str =
    "the bottlenecks are not linear, so that no weight can hold them";

/// Activation of a bottleneck, in AdapterHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonLinearity {
    /// `max(0, x)`.
    Relu,
    /// `x Phi(x)`, exact.
    Gelu,
    /// `x sigmoid(x)`.
    Swish,
}

impl NonLinearity {
    pub(crate) fn apply(self, x: &Tensor) -> Tensor {
        match self {
            NonLinearity::Relu => x.relu(),
            NonLinearity::Gelu => x.gelu("none"),
            NonLinearity::Swish => x.silu(),
        }
    }
}

/// How the matrices of a bottleneck start; biases start at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitWeights {
    /// The way back up starts at zero, so the model starts as the plain backbone.
    #[default]
    Identity,
    /// Both ways start at small random values, as published: nearly the plain backbone.
    Published,
}

impl InitWeights {
    /// How what ends the path through a bottleneck starts; `std` is that of random values.
    pub(crate) fn last(self, std: f64) -> Init {
        match self {
            InitWeights::Identity => Init::ZEROS,
            InitWeights::Published => Init::Normal(std),
        }
    }
}

/// Where bottlenecks stand and what they have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) mh_adapter: bool,
    pub(crate) output_adapter: bool,
    pub(crate) reduction_factor: i64,
    /// The width of a bottleneck is rounded up to a multiple of this.
    pub(crate) multiple: i64,
    pub(crate) non_linearity: NonLinearity,
    pub(crate) init_weights: InitWeights,
}

impl Shape {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.reduction_factor < 1 {
            return Err(config("reduction_factor", "at least 1", self.reduction_factor));
        }
        match self.mh_adapter || self.output_adapter {
            true => Ok(()),
            false => Err(config("output_adapter", "true where mh_adapter is false", "false")),
        }
    }

    fn width(&self, dim: i64) -> i64 {
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

/// Houlsby's adapters, low-rank adapters, PHM layers or Compacter as a plan; see [`HoulsbyConfig`],
/// [`LowRankAdapterConfig`], [`PhmConfig`] and [`CompacterConfig`].
///
/// [`HoulsbyConfig`]: crate::HoulsbyConfig
/// [`LowRankAdapterConfig`]: crate::LowRankAdapterConfig
/// [`PhmConfig`]: crate::PhmConfig
/// [`CompacterConfig`]: crate::CompacterConfig
#[derive(Debug)]
pub struct Bottlenecks {
    shape: Shape,
    matrices: Box<dyn Matrices>,
}

impl Bottlenecks {
    pub(crate) fn with(shape: Shape, matrices: impl Matrices + 'static) -> Result<Self> {
        shape.validate()?;
        Ok(Self { shape, matrices: Box::new(matrices) })
    }

    fn bottleneck(&self, scope: &Scope, site: &Site) -> TensorResult<Bottleneck> {
        let (dim, width) = (site.out_features, self.shape.width(site.out_features));
        let zero = self.shape.init_weights == InitWeights::Identity;
        let affine = |name: &str, shape: [i64; 2], zero| {
            let scope = scope.pp(name);
            let matrix = self.matrices.make(&scope, site, shape, zero)?;
            let bias = scope.param("bias", &[shape[1]], Init::ZEROS)?;
            Ok::<_, polyptych_tensor::Error>(Affine { matrix, bias })
        };
        Ok(Bottleneck {
            down: affine("adapter_down", [dim, width], false)?,
            up: affine("adapter_up", [width, dim], zero)?,
            non_linearity: self.shape.non_linearity,
        })
    }
}

impl Plan for Bottlenecks {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let stands = match site.kind {
            SiteKind::Proj => self.shape.mh_adapter,
            SiteKind::Fc2 => self.shape.output_adapter,
            SiteKind::Qkv | SiteKind::Fc1 | SiteKind::Reduction => false,
            SiteKind::Mlp | SiteKind::Block => false,
        };
        Ok(match stands {
            true => Box::new(Adapted { base, bottleneck: self.bottleneck(scope, site)? }),
            false => Box::new(Plain(base)),
        })
    }

    fn unfoldable(&self) -> Option<String> {
        Some(UNFOLDABLE.to_owned())
    }

    fn trains(&self, name: &str) -> bool {
        name.contains("adapter_")
    }

    fn fold(&self, tensors: &Tensors) -> TensorResult<Tensors> {
        NoAdapter::Frozen.fold(tensors)
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
