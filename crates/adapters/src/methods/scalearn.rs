//! ScaLearn: scales on the outputs of adapters of finished runs (Frohmann et al., NAACL Findings 2024,
//! arXiv 2310.01217).
//!
//! Behind the MLP of every block stand the adapters of `S` source tasks, frozen; with `y` the output of
//! `mlp.fc2`, `[.., d]`, what goes on is
//!
//! ```text
//! y + sum_s omega_s (.) o_s(y)          o_s(y) = sigma(y W_d + b_d) W_u + b_u  of source s
//!
//! scalearn            omega: [S, d] in every layer        uniform            omega: [S] in every layer
//! plus_plus           omega: [S, d] for all layers        uniform_plus_plus  omega: [S] for all layers
//! ```
//!
//! `omega` starts as `N(c / S, 1e-3)`, has dropout of its own in training, no softmax, and alone
//! trains. Layers of a Swin share `omega` with those of their width. The sources are adapters of the
//! method `adapter`; `compose.runs` of the recipe names their runs.

use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Init, Linear, Plain, Plan, Projection, Result as TensorResult, Scope, Site,
    Tensor, cast, dropout, no_grad,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{InitWeights, NonLinearity, UNMERGEABLE};
use crate::blocks::bottleneck::BottleneckOptions;
use crate::blocks::kronecker::backbone_of;
use crate::blocks::sources::{Adapter, place, settings, take};
use crate::error::{Result, config};
use crate::method::{Form, Method, Sources};

/// Standard deviation of the first values of `omega`, as published.
const INIT_STD: f64 = 1e-3;

/// What `omega` is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaLearnVariant {
    /// A number for every source, channel and layer.
    #[default]
    Scalearn,
    /// A number for every source and layer: ScaLearnUniform.
    Uniform,
    /// A number for every source and channel: ScaLearn++.
    PlusPlus,
    /// A number for every source: ScaLearnUniform++.
    UniformPlusPlus,
}

/// Configuration of ScaLearn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScaLearnConfig {
    /// `S`: how many runs the adapters come from, as many as `compose.runs` has.
    pub sources: usize,
    /// What `omega` is.
    pub variant: ScaLearnVariant,
    /// `c`: what the scales of all sources add up to at the start; published are 1, 2 and 3.
    pub init_sum: f64,
    /// Probability with which a number of `omega` is set to zero in training.
    pub dropout: f64,
    /// Whether the sources have adapters behind attention.
    pub mh_adapter: bool,
    /// Whether they have adapters behind the MLP.
    pub output_adapter: bool,
    /// Width of the stream per width of their bottlenecks.
    pub reduction_factor: i64,
    /// Activation of their bottlenecks.
    pub non_linearity: NonLinearity,
}

impl Default for ScaLearnConfig {
    fn default() -> Self {
        Self {
            sources: 2,
            variant: ScaLearnVariant::Scalearn,
            init_sum: 2.0,
            dropout: 0.3,
            mh_adapter: false,
            output_adapter: true,
            reduction_factor: 16,
            non_linearity: NonLinearity::Relu,
        }
    }
}

impl ScaLearnConfig {
    fn options(&self) -> BottleneckOptions {
        BottleneckOptions {
            mh_adapter: self.mh_adapter,
            output_adapter: self.output_adapter,
            reduction_factor: self.reduction_factor,
            multiple: 1,
            non_linearity: self.non_linearity,
            init_weights: InitWeights::Identity,
        }
    }

    fn validate(&self) -> Result<()> {
        self.options().validate()?;
        if self.sources < 1 {
            return Err(config("sources", "at least 1", self.sources));
        }
        if !self.init_sum.is_finite() {
            return Err(config("init_sum", "a finite number", self.init_sum));
        }
        match (0.0..1.0).contains(&self.dropout) {
            true => Ok(()),
            false => Err(config("dropout", "at least 0 and below 1", self.dropout)),
        }
    }
}

impl Part for ScaLearnConfig {
    const NAME: &'static str = "scalearn";
    const SUMMARY: &'static str = "trained scales on the frozen adapters of finished runs";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for ScaLearnConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate()?;
        Ok(Rc::new(ScaLearn(*self)))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*scalearn_*"]
    }

    fn sources(&self) -> Option<Sources> {
        Some(Sources {
            count: self.sources,
            adapter: settings(&self.options()),
            take: Box::new(|run, index, _| Ok(take(Self::NAME, run, index))),
        })
    }
}

#[derive(Debug)]
struct ScaLearn(ScaLearnConfig);

impl ScaLearn {
    /// `[S, d]`, or `[S, 1]` where all channels have one.
    fn omega(&self, scope: &Scope, site: &Site) -> TensorResult<Tensor> {
        let ScaLearnConfig { sources, variant, init_sum, .. } = self.0;
        let (d, count) = (site.out_features, sources as i64);
        let (own, init) = (scope.adapter(), Init::Normal(INIT_STD));
        let all = backbone_of(scope, site);
        let omega = match variant {
            ScaLearnVariant::Scalearn => own.param("scalearn_omega", &[count, d], init),
            ScaLearnVariant::Uniform => own.param("scalearn_omega", &[count, 1], init),
            ScaLearnVariant::PlusPlus => {
                all.shared_param(format!("scalearn_omega_{d}"), &[count, d], init)
            }
            ScaLearnVariant::UniformPlusPlus => {
                all.shared_param("scalearn_omega", &[count, 1], init)
            }
        }?;
        // What is shared is filled once more, with the same mean.
        no_grad(|| {
            let noise = omega.randn_like() * INIT_STD;
            omega.shallow_clone().copy_(&(noise + init_sum / sources as f64));
        });
        Ok(omega)
    }
}

impl Plan for ScaLearn {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        let options = self.0.options();
        if !options.stands_behind(site.kind) {
            return Ok(Box::new(Plain(base)));
        }
        let shape = [site.out_features, options.width(site.out_features)];
        let one = |index| Adapter::source(&scope.pp(place(ScaLearnConfig::NAME, index)), shape);
        let sources = (0..self.0.sources).map(one).collect::<TensorResult<_>>()?;
        let omega = self.omega(scope, site)?;
        let (non_linearity, dropout) = (self.0.non_linearity, self.0.dropout);
        Ok(Box::new(Composed { base, sources, omega, non_linearity, dropout }))
    }

    fn unmergeable(&self) -> Option<String> {
        Some(UNMERGEABLE.to_owned())
    }
}

#[derive(Debug)]
struct Composed {
    base: Linear,
    sources: Vec<Adapter>,
    omega: Tensor,
    non_linearity: NonLinearity,
    dropout: f64,
}

impl Composed {
    /// `sum_s omega_s (.) o_s(y)`: the scales are rows of the matrices up, so that all sources are one
    /// bottleneck.
    fn sum(&self, y: &Tensor, omega: &Tensor) -> Tensor {
        let kind = y.kind();
        let cat = |of: fn(&Adapter) -> &Tensor| {
            let all: Vec<Tensor> =
                self.sources.iter().map(|source| cast(of(source), kind)).collect();
            Tensor::cat(&all, 0)
        };
        let down = linear(y, &cat(|source| &source.down), Some(&cat(|source| &source.down_bias)));
        let rows = (0..).zip(&self.sources);
        let scaled = rows.map(|(index, source)| {
            let omega = omega.get(index);
            let up = cast(&source.up, kind) * omega.unsqueeze(1);
            (up, cast(&source.up_bias, kind) * omega)
        });
        let (ups, biases): (Vec<Tensor>, Vec<Tensor>) = scaled.unzip();
        let bias = biases.into_iter().reduce(|a, b| a + b);
        linear(&self.non_linearity.apply(&down), &Tensor::cat(&ups, 1), bias.as_ref())
    }
}

impl Projection for Composed {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        let omega = dropout(&self.omega, self.dropout, train);
        x.map(|t| {
            let y = self.base.forward(t);
            let omega = cast(&omega, y.kind());
            &y + self.sum(&y, &omega)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind, Store, manual_seed};

    fn composed(omega: &[f32], dim: i64) -> Composed {
        let store = Store::new(Device::Cpu);
        let source =
            |index| Adapter::source(&store.root().pp(place("scalearn", index)), [dim, 3]).unwrap();
        let omega = Tensor::from_slice(omega).view([2, -1]).set_requires_grad(true);
        let base = Linear::new(&store.root(), dim, dim, true).unwrap();
        let sources = vec![source(0), source(1)];
        Composed { base, sources, omega, non_linearity: NonLinearity::Relu, dropout: 0.3 }
    }

    fn adapter(source: &Adapter, y: &Tensor) -> Tensor {
        let hidden = linear(y, &source.down, Some(&source.down_bias)).relu();
        linear(&hidden, &source.up, Some(&source.up_bias))
    }

    #[test]
    fn one_hot_scales_are_one_adapter_and_gradients_are_sums_over_tokens() {
        manual_seed(3);
        let composed = composed(&[1.0, 0.0], 4);
        let x = Tensor::randn([2, 5, 4], (Kind::Float, Device::Cpu));
        let y = composed.base.forward(&x);
        let out = composed.forward(&Activations::Shared(x), false);
        let out = out.shared().unwrap();
        let expected = &y + adapter(&composed.sources[0], &y);
        assert!((out - expected).abs().max().double_value(&[]) < 1e-6);

        let g = Tensor::randn([2, 5, 4], (Kind::Float, Device::Cpu));
        (out * &g).sum(Kind::Float).backward();
        for (index, source) in (0..).zip(&composed.sources) {
            let expected = (&g * adapter(source, &y)).sum(Kind::Float);
            let found = composed.omega.grad().get(index).sum(Kind::Float);
            assert!((found - expected).abs().double_value(&[]) < 1e-4, "{index}");
        }
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message =
            |config: ScaLearnConfig| config.plan(&[], Form::Adapted).unwrap_err().to_string();
        let config = ScaLearnConfig::default();
        for (config, expected) in [
            (ScaLearnConfig { sources: 0, ..config }, "sources: expected at least 1, found 0"),
            (
                ScaLearnConfig { dropout: 1.0, ..config },
                "dropout: expected at least 0 and below 1, found 1",
            ),
            (
                ScaLearnConfig { reduction_factor: 0, ..config },
                "reduction_factor: expected at least 1, found 0",
            ),
            (
                ScaLearnConfig { init_sum: f64::NAN, ..config },
                "init_sum: expected a finite number, found NaN",
            ),
        ] {
            assert_eq!(message(config), expected);
        }
    }
}
