//! `cargo xtask data`: list, fetch and verify data sets.
//!
//! A data set is a manifest in `datasets/`; its files come to `data/<name>`, and what came is
//! recorded beside that folder in `data/<name>.files`.

mod archive;
mod fetch;
mod home;
mod list;
mod manifest;
mod verify;

use crate::command::{self, Entry, entry};

/// List, fetch and verify data sets
pub(crate) const COMMAND: Entry = Entry { grammar, run: |matches| command::run(COMMANDS, matches) };

/// What stands below `data`.
const COMMANDS: &[Entry] =
    &[entry::<list::List>(), entry::<fetch::Fetch>(), entry::<verify::Verify>()];

fn grammar() -> clap::Command {
    let data = clap::Command::new("data").about("List, fetch and verify data sets");
    command::grammar(data, COMMANDS)
}
