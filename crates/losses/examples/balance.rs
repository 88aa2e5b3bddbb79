//! The losses of two tasks, one without labels in half of its pixels, weighted by how fast each gets better:
//! `cargo run -p polyptych-losses --example balance`.

use polyptych_losses::balancers::{BalancerConfig, BalancerRecipe, StepInfo, StepSeed};
use polyptych_losses::{CrossEntropy, L1, LossConfig};
use polyptych_tensor::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let float = (Kind::Float, Device::Cpu);
    let segmentation = LossConfig::from(CrossEntropy::default());
    let depth = LossConfig::from(L1::default());

    let classes = Tensor::randint(3, [2, 1, 8, 8], float);
    let metres = Tensor::rand([2, 1, 8, 8], float);
    // NaN says that a pixel has no label.
    let _ = metres.narrow(3, 0, 4).fill_(f64::NAN);
    let first = segmentation.forward(&Tensor::randn([2, 3, 8, 8], float), &classes)?;
    let second = depth.forward(&Tensor::randn([2, 1, 8, 8], float), &metres)?;
    for (name, value) in [("segmentation", &first), ("depth", &second)] {
        let labelled = value.labelled.int64_value(&[]);
        println!("{name}: {:.3} over {labelled} labels", value.loss.double_value(&[]));
    }

    let losses = [first.loss.double_value(&[]), second.loss.double_value(&[])];
    let weighting: BalancerConfig = serde_json::from_str(r#"{"name": "dwa", "epoch_steps": 1}"#)?;
    let mut balancer = BalancerRecipe { loss: Some(weighting), ..Default::default() }.init(2)?;
    for step in 0..3 {
        // The first task gets better with every step, the second one does not.
        let now = [losses[0] / (step + 1) as f64, losses[1]];
        let info = StepInfo::full(&now, StepSeed { seed: 0, step })?;
        println!("step {step}: weights {:.3?}", balancer.loss_weights(&info)?.weights);
        balancer.after_step(&info, None)?;
    }
    Ok(())
}
