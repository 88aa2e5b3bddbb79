//! The flags of `cargo xtask bench`.

use std::path::PathBuf;

use clap::Parser;

/// Time training steps and forward passes, beside PyTorch with `--peers`
#[derive(Parser)]
#[command(name = "bench")]
pub(crate) struct Bench {
    /// Cases, all by default; `--list` names them
    #[arg(value_name = "CASE")]
    pub(crate) cases: Vec<String>,
    /// Name the cases and their peers
    #[arg(long)]
    pub(crate) list: bool,
    /// Take turns with the same work in PyTorch, and compare the numbers
    #[arg(long)]
    pub(crate) peers: bool,
    /// Groups of kernels of MTLoRA's step beside what this machine can do, in place of cases
    #[arg(long, conflicts_with_all = ["cases", "peers"])]
    pub(crate) roofline: bool,
    /// Leave out peers whose names contain one of these
    #[arg(long, value_delimiter = ',', value_name = "WORDS", requires = "peers")]
    pub(crate) without: Vec<String>,
    /// Programs that multiply matrices without pause beside those that are timed
    #[arg(long, default_value_t = 0, value_name = "COUNT", conflicts_with = "roofline")]
    pub(crate) neighbours: usize,
    /// Python with torch, timm, peft and torchvision; and onnxruntime, openvino, webdataset and datasets where they are there
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(crate) python: PathBuf,
    /// Types of activations
    #[arg(long, value_delimiter = ',', default_value = "fp32")]
    pub(crate) precision: Vec<String>,
    /// Numbers of tasks, which take turns
    #[arg(long, value_delimiter = ',', default_value = "4")]
    pub(crate) tasks: Vec<usize>,
    /// Images of a batch
    #[arg(long, value_delimiter = ',', default_value = "4")]
    pub(crate) batch: Vec<usize>,
    /// Height and width of the images
    #[arg(long, value_delimiter = ',', default_value = "224")]
    pub(crate) size: Vec<usize>,
    /// Where numbers live: cpu, cuda:N
    #[arg(long, default_value = "cpu", conflicts_with = "roofline")]
    pub(crate) device: String,
    /// Our side, in place of a program that is built for it
    #[arg(long, value_name = "FILE")]
    pub(crate) worker: Option<PathBuf>,
    /// Threads of each program
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Turns of each program that count
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rounds: u64,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}
