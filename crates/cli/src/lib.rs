//! What can I do from a shell? The `polyptych` program, as a library.
//!
//! Flags become a recipe, the engine runs it, and an error becomes one line on standard error.
//! A program with methods, heads, losses or balancers of its own registers them and calls
//! [`main`]: it has every command, for recipes that name its parts.

mod add_task;
mod conflict;
mod convert;
mod data;
mod eval;
mod export;
mod flags;
mod inspect;
mod interrupt;
mod log;
mod merge;
mod moefy;
mod output;
mod predict;
mod progress;
mod propose;
mod recipe;
mod recipes;
mod reference;
mod replay;
mod report;
mod serve;
mod table;
mod time;
mod train;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::flags::{Command, Flags};

/// The whole program: reads the arguments of the process, runs the command, and gives its exit code.
pub fn main() -> ExitCode {
    let flags = Flags::parse();
    output::configure(flags.quiet, flags.plain);
    match &flags.command {
        Command::Serve(serve) => log::start("warn,polyptych_serve=info", serve.log_json),
        _ => log::start(level(&flags), false),
    }
    polyptych_engine::memory::keep();
    match run(flags.command) {
        Ok(code) => code,
        Err(e) => {
            output::aside(format_args!("error: {}", one_line(&e)));
            ExitCode::FAILURE
        }
    }
}

/// How much the libraries say, unless `RUST_LOG` says otherwise.
fn level(flags: &Flags) -> &'static str {
    match flags.verbose {
        _ if flags.quiet => "error",
        0 => "warn",
        1 => "info",
        _ => "debug",
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Train(flags) => return train::run(&flags),
        Command::AddTask(flags) => return add_task::run(&flags),
        Command::Eval(flags) => eval::run(&flags)?,
        Command::Predict(flags) => predict::run(&flags)?,
        Command::Serve(flags) => serve::run(&flags)?,
        Command::Merge(flags) => merge::run(&flags)?,
        Command::Export(flags) => export::run(&flags)?,
        Command::Convert(flags) => convert::run(&flags)?,
        Command::Moefy(flags) => moefy::run(&flags)?,
        Command::Time(flags) => time::run(&flags)?,
        Command::Inspect(flags) => inspect::run(&flags)?,
        Command::Replay(flags) => replay::run(&flags)?,
        Command::Report(flags) => report::run(&flags)?,
        Command::Conflict(flags) => conflict::run(&flags)?,
        Command::Data(command) => return data::run(&command),
        Command::Recipe(command) => recipe::run(&command)?,
        Command::Completions { shell } => completions(shell),
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Flags::command(), "polyptych", &mut script);
    output::say!("{}", String::from_utf8_lossy(&script).trim_end());
}

/// The error and those of its causes that it does not quote itself.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line.replace(":\n  ", ": ").replace("\n  ", "; ").replace('\n', " ")
}

#[cfg(test)]
mod tests;
