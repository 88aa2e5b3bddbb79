//! What a command is, and how one is found among others.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{ArgMatches, Parser};

use crate::log::Log;

/// A command: its flags as clap reads them, and what it does. `#[command(name = "..")]` names it.
pub(crate) trait Subcommand: Parser {
    /// Runs the command; the exit code is the program's.
    fn run(flags: &Self) -> Result<ExitCode>;

    /// The log, where the command has one of its own.
    fn log(_flags: &Self) -> Option<Log> {
        None
    }
}

/// A line of a list of commands.
pub(crate) struct Entry {
    /// Name, help and flags.
    pub(crate) grammar: fn() -> clap::Command,
    /// Runs the command with flags that were read by its grammar.
    pub(crate) run: fn(&ArgMatches) -> Result<ExitCode>,
    /// The log that the command has for itself.
    pub(crate) log: fn(&ArgMatches) -> Option<Log>,
}

/// The line of the command `C`.
pub(crate) const fn entry<C: Subcommand>() -> Entry {
    Entry {
        grammar: C::command,
        run: |matches| C::run(&C::from_arg_matches(matches)?),
        log: |matches| C::log(&C::from_arg_matches(matches).ok()?),
    }
}

/// `parent` with all `commands` below it, of which one must be given.
pub(crate) fn grammar(parent: clap::Command, commands: &[Entry]) -> clap::Command {
    let parent = parent.subcommand_required(true).arg_required_else_help(true);
    parent.subcommands(commands.iter().map(|entry| (entry.grammar)()))
}

/// Runs the one of `commands` that was given.
pub(crate) fn run(commands: &[Entry], matches: &ArgMatches) -> Result<ExitCode> {
    let (entry, flags) = given(commands, matches).context("expected a command, found none")?;
    (entry.run)(flags)
}

/// The log that the one of `commands` that was given has for itself.
pub(crate) fn log(commands: &[Entry], matches: &ArgMatches) -> Option<Log> {
    let (entry, flags) = given(commands, matches)?;
    (entry.log)(flags)
}

/// The one of `commands` that was given, and its flags; the grammar asks for one of them.
fn given<'a>(
    commands: &'a [Entry],
    matches: &'a ArgMatches,
) -> Option<(&'a Entry, &'a ArgMatches)> {
    let (name, flags) = matches.subcommand()?;
    let entry = commands.iter().find(|entry| (entry.grammar)().get_name() == name)?;
    Some((entry, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    #[command(name = "greet")]
    struct Greet {
        #[arg(long)]
        loud: bool,
    }

    impl Subcommand for Greet {
        fn run(flags: &Self) -> Result<ExitCode> {
            if flags.loud { anyhow::bail!("loud") } else { Ok(ExitCode::SUCCESS) }
        }
    }

    #[test]
    fn the_given_command_runs_with_its_flags() {
        let commands = [entry::<Greet>()];
        let ran = |words: &[&str]| {
            let grammar = grammar(clap::Command::new("x"), &commands);
            run(&commands, &grammar.try_get_matches_from(words).unwrap())
        };
        assert_eq!(ran(&["x", "greet"]).unwrap(), ExitCode::SUCCESS);
        assert_eq!(ran(&["x", "greet", "--loud"]).unwrap_err().to_string(), "loud");
    }

    #[test]
    fn a_command_must_be_given() {
        let grammar = grammar(clap::Command::new("x"), &[entry::<Greet>()]);
        assert!(grammar.clone().try_get_matches_from(["x"]).is_err());
        assert!(grammar.try_get_matches_from(["x", "shout"]).is_err());
    }
}
