//! What does an owner of this repository run?
//!
//! `cargo xtask <command>`: [`flags`] holds the whole grammar, each command has its own file.
//! Nothing here links LibTorch, so that this package can fetch it.

// Before the others: its macros are theirs.
#[macro_use]
mod output;

mod baselines;
mod bench;
mod ci;
mod coverage;
mod data;
mod doctor;
mod download;
mod flags;
mod folder;
mod fuzz;
mod libtorch;
mod machine;
mod page;
mod parity;
mod plot;
mod process;
mod program;
mod record;
mod reproduce;
mod setup;
mod soak;
mod test;
mod tidy;
mod torture;
mod train;
mod unpack;
mod workspace;

use std::process::ExitCode;

use clap::Parser;
use flags::{Command, Xtask};

fn main() -> ExitCode {
    let outcome = match Xtask::parse().command {
        Command::Setup(flags) => setup::run(&flags),
        Command::Doctor(flags) => doctor::run(&flags),
        Command::Train(flags) => train::train(&flags),
        Command::Pretrain(flags) => train::pretrain(&flags),
        Command::Baselines(flags) => baselines::run(&flags).map(|()| ExitCode::SUCCESS),
        Command::Reproduce(flags) => reproduce::run(&flags),
        Command::Rank { data } => reproduce::write::ranked_of(&data).map(|picture| {
            println!("{}", picture.display());
            ExitCode::SUCCESS
        }),
        Command::Soak(flags) => soak::run(&flags).map(|()| ExitCode::SUCCESS),
        Command::Torture(flags) => torture::run(&flags).map(|()| ExitCode::SUCCESS),
        Command::Bench(flags) => bench::run(&flags),
        Command::Parity(flags) => parity::run(&flags).map(|()| ExitCode::SUCCESS),
        Command::Test(flags) => test::run(&flags),
        Command::Coverage(flags) => coverage::run(&flags),
        Command::Fuzz(flags) => fuzz::run(&flags),
        Command::Data(flags) => data::run(&flags),
        Command::Tidy => tidy::run(),
        Command::Ci(flags) => ci::run(&flags),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
