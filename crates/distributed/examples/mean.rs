//! The mean over processes, in one process or in many: `cargo run -p polyptych-distributed --example
//! mean`, or the same program under `torchrun --no-python --nproc-per-node 2`.

use std::time::Duration;

use polyptych_distributed::{Environment, Ranks};
use polyptych_tensor::{Device, Kind, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ranks = match Environment::from_process()? {
        Some(environment) => Ranks::join(environment, Duration::from_secs(60))?,
        None => Ranks::alone(),
    };
    let own = Tensor::full([2, 2], ranks.rank() as f64, (Kind::Float, Device::Cpu));
    let sums = ranks.sum(&[&own])?;
    let mean = &sums[0] / ranks.size() as f64;
    if ranks.is_first() {
        println!(
            "mean over {} processes: {:?}",
            ranks.size(),
            Vec::<f32>::try_from(mean.flatten(0, -1))?
        );
    }
    ranks.barrier()?;
    Ok(())
}
