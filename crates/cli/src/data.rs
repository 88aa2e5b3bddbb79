//! `polyptych data`: whether a data set is fit to learn from, what it holds, and what it looks like.

mod bar;
mod check;
mod facts;
mod make;
mod messages;
mod new;
mod pack;
mod show;

pub(crate) use new::manifest_of;

use crate::command::{self, Entry, entry};

/// `data`, with its own commands below it.
pub(crate) const COMMAND: Entry = Entry {
    grammar: || {
        let data = clap::Command::new("data").about("Describe, check, draw or make a data set");
        command::grammar(data, COMMANDS)
    },
    run: |matches| command::run(COMMANDS, matches),
    log: |_| None,
};

const COMMANDS: &[Entry] = &[
    entry::<check::Check>(),
    entry::<facts::Facts>(),
    entry::<show::Show>(),
    entry::<new::New>(),
    entry::<make::Make>(),
    entry::<pack::Pack>(),
];
