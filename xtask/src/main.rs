//! What does an owner of this repository run?
//!
//! `cargo xtask <command>`: each command is one file and one line of [`COMMANDS`].
//! Nothing here links LibTorch, so that this package can fetch it.

// Before the others: its macros are theirs.
#[macro_use]
mod output;

mod ci;
mod command;
mod data;
mod dist;
mod docs;
mod lab;
mod process;
mod setup;
mod tidy;
mod workspace;

use std::process::ExitCode;

use command::{Entry, entry};

/// Every command, in the order of the help.
const COMMANDS: &[Entry] = &[
    entry::<setup::install::Setup>(),
    entry::<setup::doctor::Doctor>(),
    entry::<lab::train::Train>(),
    entry::<lab::pretrain::Pretrain>(),
    entry::<lab::baselines::Baselines>(),
    entry::<lab::reproduce::flags::Reproduce>(),
    entry::<lab::reproduce::rank::Rank>(),
    entry::<lab::claims::Claims>(),
    entry::<lab::torture::flags::Torture>(),
    entry::<lab::soak::flags::Soak>(),
    entry::<lab::load::flags::Load>(),
    entry::<lab::pictures::Pictures>(),
    entry::<lab::bench::flags::Bench>(),
    entry::<lab::scaling::flags::Scaling>(),
    entry::<lab::copies::Copies>(),
    entry::<lab::gpu::Gpu>(),
    entry::<lab::parity::Parity>(),
    entry::<ci::test::Test>(),
    entry::<ci::coverage::Coverage>(),
    entry::<lab::fuzz::Fuzz>(),
    data::COMMAND,
    entry::<docs::flags::Docs>(),
    entry::<dist::command::Dist>(),
    entry::<tidy::Tidy>(),
    entry::<ci::gate::Ci>(),
];

fn main() -> ExitCode {
    command::run(COMMANDS, &grammar().get_matches()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn grammar() -> clap::Command {
    let xtask = clap::Command::new("xtask").bin_name("cargo xtask");
    command::grammar(xtask.about("What an owner of the repository runs"), COMMANDS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn grammar_is_consistent() {
        grammar().debug_assert();
    }

    #[test]
    fn commands_of_pages_are_ones_that_exist() {
        let wrong = tidy::commands::wrong(&workspace::root(), &grammar());
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    #[test]
    fn every_command_has_a_name_of_its_own_and_says_what_it_does() {
        let grammar = grammar();
        let names: BTreeSet<_> = grammar.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(names.len(), COMMANDS.len());
        // What clap calls a command that names none.
        assert!(!names.contains(env!("CARGO_PKG_NAME")));
        assert!(grammar.get_subcommands().all(|command| command.get_about().is_some()));
    }
}
