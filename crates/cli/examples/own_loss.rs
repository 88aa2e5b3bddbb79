//! `polyptych` with a loss of one's own, which recipes name: `cargo run -p polyptych-cli --example
//! own_loss -- recipe losses`. The crate `example` has a method, a head and a balancer too.

use std::process::ExitCode;

use polyptych_losses::{LossConfig, LossValue, TaskLoss};
use polyptych_registry::part;
use polyptych_tensor::{Kind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `log(1 + |z - y|)`, mean over labelled elements.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogL1 {}

part!(LogL1, "log_l1", "distances with a long tail", LogL1 {});

impl TaskLoss for LogL1 {
    fn forward(&self, prediction: &Tensor, target: &Tensor) -> polyptych_losses::Result<LossValue> {
        let known = target.isnan().logical_not();
        let labelled = known.sum(Kind::Int64);
        let distance = (prediction - target.nan_to_num(0.0, None, None)).abs();
        let sum = (distance.log1p() * known.to_kind(Kind::Float)).sum(Kind::Float);
        Ok(LossValue { loss: sum / labelled.clamp_min(1), labelled })
    }
}

fn main() -> ExitCode {
    if let Err(error) = LossConfig::register::<LogL1>() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    polyptych_cli::main()
}
