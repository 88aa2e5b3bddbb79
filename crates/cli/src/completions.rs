//! `polyptych completions`: what a shell needs.

use clap::Parser;
use clap_complete::Shell;

use crate::output::say;

/// Print a completion script for a shell
#[derive(Debug, Parser)]
#[command(
    name = "completions",
    after_help = "Examples:\n  polyptych completions bash > ~/.local/share/bash-completion/completions/polyptych\n  polyptych completions zsh > ~/.zfunc/_polyptych"
)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script for `program`.
    pub(crate) fn print(&self, program: &mut clap::Command) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, program, "polyptych", &mut script);
        say!("{}", String::from_utf8_lossy(&script).trim_end());
    }
}
