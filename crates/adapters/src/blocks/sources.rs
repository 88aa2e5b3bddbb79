//! Adapters of finished runs, in models that compose them.
//!
//! With `y` the output of a branch, `[.., d]`, an adapter of width `n` adds
//! `o(y) = sigma(y W_d + b_d) W_u + b_u`, `W_d` being `[d, n]` and `W_u` `[n, d]`. Sources stay as their
//! runs left them.

use polyptych_kernels::linear;
use polyptych_tensor::{Init, Result, Scope, Tensor, Tensors, cast};
use serde_json::{Value, json};

use crate::blocks::activation::NonLinearity;
use crate::blocks::bottleneck::BottleneckOptions;

/// An adapter, as PyTorch stores two linear maps.
#[derive(Debug)]
pub(crate) struct Adapter {
    /// `[n, d]`.
    pub(crate) down: Tensor,
    pub(crate) down_bias: Tensor,
    /// `[d, n]`.
    pub(crate) up: Tensor,
    pub(crate) up_bias: Tensor,
}

impl Adapter {
    /// That of a finished run; until it is read, random.
    pub(crate) fn source(scope: &Scope, [dim, width]: [i64; 2]) -> Result<Self> {
        let (down, up) = (scope.pp("adapter_down"), scope.pp("adapter_up"));
        let [wide, narrow] = [dim, width].map(Init::fan_in);
        Ok(Self {
            down: down.buffer("weight", &[width, dim], wide)?,
            down_bias: down.buffer("bias", &[width], wide)?,
            up: up.buffer("weight", &[dim, width], narrow)?,
            up_bias: up.buffer("bias", &[dim], narrow)?,
        })
    }

    /// One that trains, and adds nothing at first.
    pub(crate) fn target(scope: &Scope, [dim, width]: [i64; 2]) -> Result<Self> {
        let (down, up) = (scope.pp("adapter_down"), scope.pp("adapter_up"));
        Ok(Self {
            down: down.param("weight", &[width, dim], Init::fan_in(dim))?,
            down_bias: down.param("bias", &[width], Init::ZEROS)?,
            up: up.param("weight", &[dim, width], Init::ZEROS)?,
            up_bias: up.param("bias", &[dim], Init::ZEROS)?,
        })
    }

    /// `o(y)`.
    pub(crate) fn forward(&self, y: &Tensor, non_linearity: NonLinearity) -> Tensor {
        let of = |tensor: &Tensor| cast(tensor, y.kind());
        let hidden = linear(y, &of(&self.down), Some(&of(&self.down_bias)));
        linear(&non_linearity.apply(&hidden), &of(&self.up), Some(&of(&self.up_bias)))
    }
}

/// Where `method` has the source at `index`, below the layer that it stands behind.
pub(crate) fn place(method: &str, index: usize) -> String {
    format!("{method}_source.{index}")
}

/// What `adapter` of the recipes of sources has, whose adapters have `options`.
pub(crate) fn settings(options: &BottleneckOptions) -> Value {
    json!({
        "method": "adapter",
        "mh_adapter": options.mh_adapter,
        "output_adapter": options.output_adapter,
        "reduction_factor": options.reduction_factor,
        "non_linearity": options.non_linearity,
    })
}

/// The adapters of `run` under the names that the source at `index` has in `method`.
pub(crate) fn take(method: &str, run: &Tensors, index: usize) -> Tensors {
    let renamed = run.iter().filter_map(|(name, tensor)| {
        let (site, own) = name.split_once("adapter_")?;
        Some((format!("{site}{}.adapter_{own}", place(method, index)), tensor.shallow_clone()))
    });
    renamed.collect()
}
