//! Groups of kernels of MTLoRA's training step on Swin-T beside what this machine can do: the
//! other half of `cargo xtask bench --roofline`.
//!
//! Every group makes the calls that one step makes, at its shapes. All groups, the ceilings and the
//! whole step run once in each round, so that whatever else the machine does falls on all alike.
//! Prints one line of JSON for each.

mod call;
mod ceilings;
mod heads;
mod low_rank;
mod piece;
mod pointwise;
mod products;
mod swin;
mod training;
mod windows;
mod work;

use anyhow::{Result, bail};
use clap::Parser;
use polyptych_benches::{Method, Subject};
use polyptych_tensor::{Precision, manual_seed};
use serde_json::json;

use piece::Piece;
use swin::Swin;

/// What is measured.
#[derive(Parser)]
struct Options {
    /// Tasks
    #[arg(long, default_value_t = 4)]
    tasks: usize,
    /// Images of a batch
    #[arg(long, default_value_t = 4)]
    batch: i64,
    /// Height and width of an image: a multiple of 224, so that windows are whole
    #[arg(long, default_value_t = 224)]
    size: i64,
    /// Type of activations: fp32 or bf16
    #[arg(long, default_value = "fp32")]
    precision: String,
    /// Threads of LibTorch
    #[arg(long, default_value_t = 1)]
    threads: i32,
    /// Rounds that count; one before them does not
    #[arg(long, default_value_t = 11)]
    rounds: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    polyptych_tensor::memory::keep();
    polyptych_tensor::set_num_threads(options.threads);
    manual_seed(0);
    let subject = subject(&options)?;
    let mut pieces = pieces(&subject)?;
    for round in 0..=options.rounds {
        pieces.iter_mut().try_for_each(|piece| piece.round(round > 0))?;
    }
    let versions = format!("LibTorch {}", polyptych_kernels::torch_version());
    println!("{}", json!({ "versions": versions }));
    pieces.iter().for_each(|piece| println!("{}", piece.line()));
    Ok(())
}

fn subject(options: &Options) -> Result<Subject> {
    let precision = match options.precision.as_str() {
        "fp32" => Precision::Fp32,
        "bf16" => Precision::Bf16,
        other => bail!("--precision: expected fp32 or bf16, found {other}"),
    };
    let Options { tasks, batch, size, .. } = *options;
    if tasks == 0 || batch < 1 || size < 224 || size % 224 != 0 {
        bail!(
            "expected a task or more, an image or more and a multiple of 224, found --tasks \
             {tasks} --batch {batch} --size {size}"
        );
    }
    Ok(Subject { tasks, batch, size, precision, ..Subject::usual(Method::MtLora) })
}

fn pieces(subject: &Subject) -> Result<Vec<Piece>> {
    let swin = Swin::new(subject);
    let groups = [
        products::forward(&swin),
        products::input_gradient(&swin),
        products::merging(&swin),
        low_rank::shared(&swin),
        low_rank::of_tasks(&swin),
        low_rank::hidden(&swin),
        windows::attention(&swin),
        windows::moves(&swin),
        pointwise::layer_norm(&swin)?,
        pointwise::gelu(&swin),
        pointwise::dropout(&swin),
        pointwise::residual_sums(&swin),
        heads::products(&swin),
        heads::layers(&swin, subject),
        heads::upsampling(&swin, subject),
        heads::cross_entropy(&swin, subject),
    ];
    let mut pieces = ceilings::all(swin.kind);
    pieces.extend(groups);
    pieces.extend(training::step(subject)?);
    Ok(pieces)
}
