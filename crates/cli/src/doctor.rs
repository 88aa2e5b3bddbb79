//! `polyptych doctor`: what the kernels use on this machine.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use polyptych_engine::{CPU_VARIABLE, Instructions};

use crate::command::Subcommand;
use crate::output::say;
use crate::version;

/// Say which instructions and which form of each kernel this machine gets
#[derive(Debug, Parser)]
#[command(
    name = "doctor",
    after_help = "POLYPTYCH_CPU=none|avx2|avx512|avx512_bf16|amx forces less than the machine has.\n\n\
                  Examples:\n  polyptych doctor\n  POLYPTYCH_CPU=none polyptych doctor"
)]
pub(crate) struct Doctor {}

impl Subcommand for Doctor {
    fn run(_flags: &Self) -> Result<ExitCode> {
        let used = Instructions::in_use()?;
        say!("polyptych {}", version::long());
        say!("instructions in use: {used}{}", origin());
        for (kernels, choice) in used.rules() {
            say!("{kernels}: {choice}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn origin() -> String {
    let best = Instructions::best();
    let forced = std::env::var(CPU_VARIABLE).is_ok_and(|word| !word.is_empty());
    match forced {
        true => format!(", forced by {CPU_VARIABLE}; this processor has {best}"),
        false => ", the best that this processor has".into(),
    }
}
