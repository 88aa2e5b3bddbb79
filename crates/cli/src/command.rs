//! What a command is, and how one is found among others.

use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgMatches, Parser};

/// A command: its flags as clap reads them, and what it does. `#[command(name = "..")]` names it.
pub(crate) trait Subcommand: Parser {
    /// Runs the command; the exit code is the program's.
    fn run(flags: &Self) -> Result<ExitCode>;
}

/// A line of a list of commands.
pub(crate) struct Entry {
    /// Name, help and flags.
    pub(crate) grammar: fn() -> clap::Command,
    /// Runs the command with flags that were read by its grammar.
    pub(crate) run: fn(&ArgMatches) -> Result<ExitCode>,
}

/// The line of the command `C`.
pub(crate) const fn entry<C: Subcommand>() -> Entry {
    Entry { grammar: C::command, run: |matches| C::run(&C::from_arg_matches(matches)?) }
}

/// `parent` with all `commands` below it, of which one must be given.
pub(crate) fn grammar(parent: clap::Command, commands: &[Entry]) -> clap::Command {
    let parent = parent.subcommand_required(true).arg_required_else_help(true);
    parent.subcommands(commands.iter().map(|entry| (entry.grammar)()))
}

/// Runs the one of `commands` that was given.
pub(crate) fn run(commands: &[Entry], matches: &ArgMatches) -> Result<ExitCode> {
    let given = matches.subcommand();
    let found = given.and_then(|(name, flags)| {
        let entry = commands.iter().find(|entry| (entry.grammar)().get_name() == name)?;
        Some((entry, flags))
    });
    // The grammar asks for one of them.
    let (entry, flags) = found.ok_or_else(|| anyhow::anyhow!("expected a command, found none"))?;
    (entry.run)(flags)
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
