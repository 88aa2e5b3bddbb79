//! Commands of `cargo xtask` on the pages are ones that it takes.

use std::path::Path;

use super::files::{self, File};

/// Pages that quote commands of other times.
const HISTORY: &str = "docs/changelog.md";

/// As [`check`], of the pages below `root`.
pub(crate) fn wrong(root: &Path, grammar: &clap::Command) -> Vec<String> {
    check(&files::all(root).unwrap(), grammar)
}

/// Commands of pages that `grammar` does not take; outside of blocks of shell, where flags may be
/// left out, commands that it does not have.
fn check(files: &[File], grammar: &clap::Command) -> Vec<String> {
    let pages = files.iter().filter(|file| file.path.ends_with(".md") && file.path != HISTORY);
    let of_page = |page: &File| {
        let wrong = |(line, command, in_shell): (usize, &str, bool)| {
            let reason = reason(grammar, command, in_shell)?;
            Some(format!("{}:{line}: `cargo xtask {command}`: {reason}", page.path))
        };
        commands(&page.text).into_iter().filter_map(wrong).collect::<Vec<_>>()
    };
    pages.flat_map(of_page).collect()
}

fn reason(grammar: &clap::Command, command: &str, in_shell: bool) -> Option<String> {
    let name = command.split(' ').next()?;
    // Placeholders are written so.
    if !name.starts_with('<') && grammar.find_subcommand(name).is_none() {
        return Some("no such command".to_owned());
    }
    let words = ["xtask"].into_iter().chain(command.split_whitespace());
    let read = grammar.clone().try_get_matches_from(words);
    let error = read.err().filter(|_| in_shell)?;
    Some(error.to_string().lines().next().unwrap_or_default().to_owned())
}

/// Line, text behind `cargo xtask`, and whether it stands in a block of shell.
fn commands(text: &str) -> Vec<(usize, &str, bool)> {
    let mut found = Vec::new();
    let mut in_shell = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("```") {
            in_shell = line == "```sh";
        }
        for command in line.split("cargo xtask ").skip(1) {
            let command = command.split(['`', '#', '"', '\\', ';', '&']).next().unwrap_or_default();
            if !command.trim().is_empty() {
                found.push((number, command.trim(), in_shell));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_do_not_exist_are_named_with_their_line() {
        let train = clap::Command::new("train").arg(clap::Arg::new("recipe"));
        let grammar = clap::Command::new("xtask").subcommand(train);
        let text = "`cargo xtask train A [--x]`\n```sh\ncargo xtask train a   # b\n\
                    cargo xtask train --x\n```\nand `cargo xtask trian`\n";
        let file = |path: &str| File { path: path.into(), text: text.into() };
        assert_eq!(
            check(&[file("docs/a.md"), file(HISTORY), file("a.rs")], &grammar),
            [
                "docs/a.md:4: `cargo xtask train --x`: error: unexpected argument '--x' found",
                "docs/a.md:6: `cargo xtask trian`: no such command",
            ]
        );
    }
}
