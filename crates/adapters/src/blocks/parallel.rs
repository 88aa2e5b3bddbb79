//! Bottlenecks beside the MLP of every block, however they are configured.
//!
//! With `x` the stream that the MLP branches from and `u` either `x` or what the MLP reads,
//! `LN_2(x)`, what goes on is `x + MLP(LN_2(x)) + s (sigma(u W_d + b_d) W_u + b_u)`, `W_d` being
//! `[d, n]` and `W_u` `[n, d]`. The way back up starts at zero, so the model starts as the plain
//! backbone. All tasks share it.

use polyptych_tensor::{
    Activations, Error, Init, LayerNorm, Linear, Parallel, ParallelOutput, Plan,
    Result as TensorResult, Scope, Site, Tensor, dropout,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{NonLinearity, UNMERGEABLE};
use crate::blocks::scale::Scale;
use crate::blocks::width::Bottleneck;
use crate::error::{Result, config};

/// PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// What an adapter reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdapterInput {
    /// What the MLP reads: the stream behind the second norm.
    #[default]
    Normed,
    /// The residual stream before that norm.
    Residual,
}

/// Whether an adapter has a layer norm of its own, and where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayerNormOption {
    /// None.
    #[default]
    None,
    /// Before the way down.
    In,
    /// Behind the scaled way up.
    Out,
}

/// What adapters beside MLPs have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParallelOptions {
    /// The width `n`, with the key that says it in the configuration.
    pub(crate) width: (&'static str, Bottleneck),
    pub(crate) input: AdapterInput,
    pub(crate) non_linearity: NonLinearity,
    pub(crate) layernorm: LayerNormOption,
    pub(crate) dropout: f64,
    /// The scale `s`, with its key.
    pub(crate) scale: (&'static str, f64),
    pub(crate) learnable_scale: bool,
}

impl ParallelOptions {
    fn validate(&self) -> Result<()> {
        let (key, Bottleneck::Fixed(n) | Bottleneck::Reduction(n)) = self.width;
        if n < 1 {
            return Err(config(key, "at least 1", n));
        }
        let (key, scale) = self.scale;
        if !scale.is_finite() || (scale == 0.0 && !self.learnable_scale) {
            return Err(config(key, "a finite number, other than 0 unless it is trainable", scale));
        }
        match (0.0..1.0).contains(&self.dropout) {
            true => Ok(()),
            false => Err(config("dropout", "at least 0 and below 1", self.dropout)),
        }
    }

    fn width(&self, mlp: &Site) -> TensorResult<i64> {
        let d = mlp.in_features;
        match self.width {
            (_, Bottleneck::Fixed(n)) => Ok(n),
            (_, Bottleneck::Reduction(by)) if by <= d => Ok(d / by),
            (key, Bottleneck::Reduction(by)) => Err(Error::Config {
                key: format!("{key} at {}", mlp.path),
                expected: format!("at most {d}"),
                found: by.to_string(),
            }),
        }
    }
}

/// Bottlenecks beside the MLPs as a plan.
#[derive(Debug)]
pub(crate) struct ParallelAdapters {
    options: ParallelOptions,
}

impl ParallelAdapters {
    pub(crate) fn new(options: ParallelOptions) -> Result<Self> {
        options.validate()?;
        Ok(Self { options })
    }
}

impl Plan for ParallelAdapters {
    fn parallel(&self, scope: &Scope, mlp: &Site) -> TensorResult<Option<Box<dyn Parallel>>> {
        Ok(Some(Box::new(Path::new(&scope.adapter(), &self.options, mlp)?)))
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.to_owned())
    }
}

/// The bottleneck beside one MLP.
#[derive(Debug)]
struct Path {
    input: AdapterInput,
    norm_in: Option<LayerNorm>,
    down: Linear,
    non_linearity: NonLinearity,
    dropout: f64,
    up: Linear,
    scale: Scale,
    norm_out: Option<LayerNorm>,
}

impl Path {
    fn new(scope: &Scope, options: &ParallelOptions, mlp: &Site) -> TensorResult<Self> {
        let (d, n) = (mlp.in_features, options.width(mlp)?);
        let norm = |option: LayerNormOption| {
            let norm = || LayerNorm::new(&scope.pp("adapter_norm"), d, NORM_EPS);
            (options.layernorm == option).then(norm).transpose()
        };
        Ok(Self {
            input: options.input,
            norm_in: norm(LayerNormOption::In)?,
            down: linear(&scope.pp("adapter_down"), [n, d], Init::fan_in(d))?,
            non_linearity: options.non_linearity,
            dropout: options.dropout,
            up: linear(&scope.pp("adapter_up"), [d, n], Init::ZEROS)?,
            scale: Scale::new(scope, "adapter_scale", options.scale.1, options.learnable_scale)?,
            norm_out: norm(LayerNormOption::Out)?,
        })
    }

    fn term(&self, u: &Tensor, train: bool) -> Tensor {
        let hidden = self.down.forward(&normalised(self.norm_in.as_ref(), u.shallow_clone()));
        let hidden = dropout(&self.non_linearity.apply(&hidden), self.dropout, train);
        normalised(self.norm_out.as_ref(), self.scale.apply(self.up.forward(&hidden)))
    }
}

impl Parallel for Path {
    fn forward(&self, residual: &Activations, normed: &Activations, train: bool) -> ParallelOutput {
        let u = match self.input {
            AdapterInput::Normed => normed,
            AdapterInput::Residual => residual,
        };
        ParallelOutput { added: u.map(|t| self.term(t, train)), aside: None }
    }
}

fn linear(scope: &Scope, shape: [i64; 2], init: Init) -> TensorResult<Linear> {
    let weight = scope.param("weight", &shape, init)?;
    Ok(Linear { weight, bias: Some(scope.param("bias", &shape[..1], Init::ZEROS)?) })
}

fn normalised(norm: Option<&LayerNorm>, x: Tensor) -> Tensor {
    match norm {
        Some(norm) => norm.forward(&x),
        None => x,
    }
}
