//! What can I do from a shell? The `polyptych` program, as a library.
//!
//! Flags become a recipe, the engine runs it, and an error becomes one line on standard error.
//! A program with methods, heads, losses or balancers of its own registers them and calls
//! [`main`]: it has every command, for recipes that name its parts.

mod add_task;
mod closing;
mod command;
mod completions;
mod conflict;
mod convert;
mod data;
mod delta;
mod doctor;
mod eval;
mod export;
mod inspect;
mod interrupt;
mod launch;
mod log;
mod merge;
mod moefy;
mod open;
mod output;
mod predict;
mod processes;
mod progress;
mod propose;
mod prune;
mod quantize;
mod recipe;
mod recipes;
mod reference;
mod replay;
mod report;
mod rows;
mod serve;
mod stage_table;
mod stages;
mod table;
mod time;
mod train;
mod trainer;
mod version;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::command::{Entry, entry};
use crate::completions::Completions;
use crate::log::Log;

/// Every command, in the order of the help.
const COMMANDS: &[Entry] = &[
    entry::<train::Train>(),
    entry::<add_task::AddTask>(),
    entry::<eval::Eval>(),
    entry::<predict::Predict>(),
    entry::<serve::Serve>(),
    entry::<merge::Merge>(),
    entry::<prune::Prune>(),
    entry::<quantize::Quantize>(),
    entry::<delta::Delta>(),
    entry::<export::Export>(),
    entry::<convert::Convert>(),
    entry::<moefy::Moefy>(),
    entry::<time::Time>(),
    entry::<inspect::Inspect>(),
    entry::<report::Report>(),
    entry::<conflict::Conflict>(),
    entry::<replay::Replay>(),
    data::COMMAND,
    entry::<recipe::Recipes>(),
    entry::<doctor::Doctor>(),
    COMPLETIONS,
];

/// The only command that needs the grammar of all.
const COMPLETIONS: Entry = Entry {
    grammar: Completions::command,
    run: |matches| {
        Completions::from_arg_matches(matches)?.print(&mut grammar());
        Ok(ExitCode::SUCCESS)
    },
    log: |_| None,
};

/// One image, one backbone, many tasks.
#[derive(Debug, Parser)]
#[command(
    name = "polyptych",
    version,
    long_version = version::long(),
    about,
    after_help = "Examples:\n  polyptych train\n  polyptych train --data DIR\n  polyptych eval runs/quickstart\n  polyptych predict runs/quickstart photograph.jpg"
)]
struct Program {
    /// Print more: messages of the libraries, with -vv in detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print lines instead of a live view or a progress bar
    #[arg(long, global = true)]
    plain: bool,
}

/// The whole program: reads the arguments of the process, runs the command, and gives its exit code.
pub fn main() -> ExitCode {
    match run(&grammar().get_matches()) {
        Ok(code) => code,
        Err(e) => {
            output::aside(format_args!("error: {}", one_line(&e)));
            ExitCode::FAILURE
        }
    }
}

fn grammar() -> clap::Command {
    command::grammar(Program::command(), COMMANDS)
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let program = Program::from_arg_matches(matches)?;
    output::configure(program.quiet, program.plain);
    let log = command::log(COMMANDS, matches);
    log::start(&log.unwrap_or(Log { level: level(&program), json: false }));
    polyptych_engine::memory::keep();
    command::run(COMMANDS, matches)
}

/// How much the libraries say, unless `RUST_LOG` says otherwise.
fn level(program: &Program) -> &'static str {
    match program.verbose {
        _ if program.quiet => "error",
        0 => "warn",
        1 => "info",
        _ => "debug",
    }
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
