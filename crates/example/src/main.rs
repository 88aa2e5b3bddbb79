//! `polyptych` with a method, a head, a loss and a balancer of its own.
use std::{process::ExitCode, rc::Rc};

use polyptych_adapters::{AdapterConfig, Form, Method as AdapterMethod};
use polyptych_heads::{FeatureDims, Head, HeadBuilder, HeadConfig, HeadInput};
use polyptych_losses::balancers::gradient::{Gram, GramAggregator};
use polyptych_losses::balancers::{BalancerConfig, BalancerKind, BalancerPart, Method, StepInfo};
use polyptych_losses::{LossConfig, LossValue, TaskLoss};
use polyptych_registry::{Result, part};
use polyptych_tensor::{Conv2d, Kind, ParameterKind, ParameterKinds, Plan, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// LN-Tuning (arXiv 2312.11420): the norms of the backbone train, and nothing is added.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LnTuning {}
part!(LnTuning, "ln_tuning", "the norms of the backbone train", LnTuning {});
impl AdapterMethod for LnTuning {
    fn plan(&self, _tasks: &[String], _form: Form) -> polyptych_adapters::Result<Rc<dyn Plan>> {
        Ok(Rc::new(self.clone()))
    }
}
impl Plan for LnTuning {
    fn trains(&self, kinds: &ParameterKinds) -> bool {
        kinds.contains(&ParameterKind::Norm)
    }
}

/// One 1 x 1 convolution over the coarsest level, which all blocks have a part in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Coarsest {}
part!(Coarsest, "coarsest", "dense, of the coarsest level", Coarsest {});
impl HeadBuilder for Coarsest {
    fn build(
        &self,
        scope: &Scope,
        dims: FeatureDims,
        outputs: i64,
    ) -> polyptych_heads::Result<Box<dyn Head>> {
        Ok(Box::new(CoarsestHead(Conv2d::new(scope, [dims.levels[3], outputs], [1, 1], true)?)))
    }
}
#[derive(Debug)]
struct CoarsestHead(Conv2d);
impl Head for CoarsestHead {
    fn forward(&self, features: &HeadInput, _train: bool) -> polyptych_heads::Result<Tensor> {
        Ok(self.0.pointwise(&features.levels[3]).permute([0, 3, 1, 2]).to_kind(Kind::Float))
    }
}

/// `(z - y)^2`, mean over labelled elements.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct L2 {}
part!(L2, "l2", "squared distance", L2 {});
impl TaskLoss for L2 {
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> polyptych_losses::Result<LossValue> {
        let known = target.isnan().logical_not();
        let squares = (prediction - target.nan_to_num(0.0, None, None)).square() * &known;
        let labelled = known.sum(Kind::Int64);
        Ok(LossValue { loss: squares.sum(Kind::Float) / labelled.clamp_min(1), labelled })
    }
}

/// `d = sum_i g_i / |g_i|`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UnitGradients {}
part!(UnitGradients, "unit_gradients", "the sum of unit task gradients", UnitGradients {});
impl BalancerPart for UnitGradients {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gram
    }
    fn init(&self, _num_tasks: usize) -> polyptych_losses::Result<Method> {
        Ok(Method::gram(self.clone()))
    }
}
impl GramAggregator for UnitGradients {
    fn weights(&mut self, gram: &Gram, _info: &StepInfo) -> polyptych_losses::Result<Vec<f64>> {
        Ok(gram.matrix().diag().iter().map(|square| 1.0 / square.sqrt().max(1e-12)).collect())
    }
}

fn main() -> Result<ExitCode> {
    AdapterConfig::register::<LnTuning>()?;
    HeadConfig::register::<Coarsest>()?;
    LossConfig::register::<L2>()?;
    BalancerConfig::register::<UnitGradients>()?;
    Ok(polyptych_cli::main())
}
