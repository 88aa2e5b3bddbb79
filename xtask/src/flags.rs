//! The whole grammar of `cargo xtask`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What an owner of the repository runs.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
pub(crate) struct Xtask {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Bring LibTorch into the per-user cache and link it as `.libtorch`
    Setup(Setup),
    /// Say what is there, what is missing, and the command that brings it
    Doctor(Doctor),
    /// Build and train a recipe; the quickstart unless told otherwise
    Train(Train),
    /// Make a backbone again that the repository ships
    Pretrain(Pretrain),
    /// Train every task of a recipe alone, and record what delta-m compares with
    Baselines(Baselines),
    /// Train every method of a recipe with several seeds, and write the table that compares them
    Reproduce(Reproduce),
    /// Draw the bars of a comparison anew from its data, such as docs/results/balancers.json
    Rank {
        /// What `reproduce` has written
        data: PathBuf,
    },
    /// Kill and resume a training run at random moments, and compare with one left alone
    Torture(Torture),
    /// Train methods of a recipe for many steps, and write how much memory they hold
    Soak(Soak),
    /// Time training steps and forward passes, beside PyTorch with `--peers`
    Bench(Bench),
    /// Compare backbones with timm's, TorchVision's and Hugging Face's at many sizes, as a page
    Parity(Parity),
    /// Run every test of the workspace
    Test(Test),
    /// Measure line coverage of the library crates; fails below the threshold
    Coverage(Coverage),
    /// Feed random bytes to the parsers of foreign files, and write the table of what came of it
    Fuzz(Fuzz),
    /// List, fetch and verify data sets
    Data(Data),
    /// Check the rules that neither compiler nor clippy know
    Tidy,
    /// Everything that must pass before a change lands, cheapest first
    Ci(Ci),
}

#[derive(Args, Default)]
pub(crate) struct Setup {
    /// Add what an NVIDIA GPU needs (about 2.5 GB down)
    #[arg(long, conflicts_with = "archive")]
    pub(crate) cuda: bool,
    /// Take an official LibTorch zip instead of the wheels; needs no Python
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) archive: Option<String>,
    /// Check every hash, and set up again where one differs
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Doctor {
    /// Hash LibTorch's files, not only their sizes
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Args)]
pub(crate) struct Train {
    /// Name of a shipped recipe, or a TOML file
    #[arg(long, default_value = "quickstart", value_name = "NAME|PATH")]
    pub(crate) recipe: String,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Passed on to `polyptych train`
    #[arg(last = true)]
    pub(crate) extra: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Pretrain {
    /// Recipe of the backbone
    #[arg(default_value = "pretrain-swin")]
    pub(crate) recipe: String,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Passed on to `polyptych train`
    #[arg(last = true)]
    pub(crate) extra: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Baselines {
    /// Name of a shipped recipe, or a TOML file; it must say where its baselines lie
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Reproduce {
    /// Name of a shipped recipe, or a TOML file; its `compare` lists the other methods
    pub(crate) recipe: String,
    /// Number of seeds: 0, 1 and so on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: u64,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Train only these methods, separated by commas; others stay in the table where they are done
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) rows: Vec<String>,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Torture {
    /// Name of a shipped recipe, or a TOML file
    #[arg(long, default_value = "quickstart", value_name = "NAME|PATH")]
    pub(crate) recipe: String,
    /// Number of kills
    #[arg(long, default_value_t = 200)]
    pub(crate) kills: u64,
    /// Steps of one run, each of which is saved
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,
    /// Longest life of a process, in seconds
    #[arg(long, default_value_t = 6.0)]
    pub(crate) life: f64,
    /// Override a field of the recipe; an evaluation must be shorter than a life
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Seed of the moments
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Soak {
    /// Name of a shipped recipe, or a TOML file; its `compare` lists the other methods
    #[arg(default_value = "quickstart")]
    pub(crate) recipe: String,
    /// Train only these methods, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) rows: Vec<String>,
    /// Steps of each run
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: u64,
    /// Steps between evaluations, each of which saves
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) every: u64,
    /// Runs at a time, of one thread each
    #[arg(long, default_value_t = 1, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64))]
    pub(crate) jobs: usize,
    /// Override a field of the recipe
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) sets: Vec<String>,
    /// Folder of the results
    #[arg(long, default_value = "docs/results", value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Bench {
    /// Cases, all unless told otherwise; `--list` names them
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
    /// Python with torch, timm, peft and torchvision
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

#[derive(Args)]
pub(crate) struct Parity {
    /// Python with torch, timm, torchvision, transformers and safetensors
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub(crate) python: PathBuf,
    /// The page [default: docs/results/parity.md]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Test {
    /// Passed on to `cargo test --workspace`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) extra: Vec<String>,
}

#[derive(Args)]
pub(crate) struct Coverage {
    /// Crates to measure, all library crates unless told otherwise
    #[arg(long = "package", short, value_name = "NAME")]
    pub(crate) packages: Vec<String>,
    /// Lowest share of lines, in percent
    #[arg(long, default_value_t = 85)]
    pub(crate) fail_under_lines: u8,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Fuzz {
    /// Targets in `benches/fuzz/targets`, all unless told otherwise
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Inputs for each target
    #[arg(long, default_value_t = 100_000)]
    pub(crate) runs: u64,
    /// Seed of the inputs; 0 takes another one each time
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u32,
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    pub(crate) command: DataCommand,
}

#[derive(Subcommand)]
pub(crate) enum DataCommand {
    /// Every data set that has a manifest, and whether it is here
    List,
    /// Bring a data set from its published addresses
    Fetch(Fetch),
    /// Compare a data set with what was recorded when it came, and tell what it holds
    Verify(Verify),
}

#[derive(Args)]
pub(crate) struct Fetch {
    /// Name of a manifest in `datasets/`
    pub(crate) name: String,
    /// A local archive, or a folder that holds the data set or its archives
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// Folder to fill, `data/<name>` unless told otherwise
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// Name of a manifest in `datasets/`
    pub(crate) name: String,
    /// Folder that was filled, `data/<name>` unless told otherwise
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Compare files alone, without reading images and labels
    #[arg(long)]
    pub(crate) files_only: bool,
}

#[derive(Args)]
pub(crate) struct Ci {
    /// Say what would be run
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn grammar_is_consistent() {
        Xtask::command().debug_assert();
    }

    #[test]
    fn extra_arguments_reach_the_child() {
        let Command::Test(test) =
            Xtask::try_parse_from(["xtask", "test", "-p", "x", "--", "--nocapture"])
                .unwrap()
                .command
        else {
            panic!("not a test command");
        };
        assert_eq!(test.extra, ["-p", "x", "--", "--nocapture"]);
        let Command::Train(train) =
            Xtask::try_parse_from(["xtask", "train", "--", "--set", "a=1"]).unwrap().command
        else {
            panic!("not a train command");
        };
        assert_eq!(
            (train.recipe.as_str(), train.extra),
            ("quickstart", vec!["--set".into(), "a=1".into()])
        );
    }
}
