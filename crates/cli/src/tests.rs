//! Every command on a page is one that the program takes, and errors are one line.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use polyptych_adapters::Form;
use polyptych_engine::{Ranks, Recipe};

use crate::{COMMANDS, grammar, one_line, recipes};

#[test]
fn every_command_of_the_pages_is_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/tutorials", "docs/recipes", "docs/methods", "datasets"] {
        pages.extend(markdown(&root.join(folder)));
    }
    let commands: Vec<(PathBuf, String)> = pages
        .iter()
        .filter(|page| !page.ends_with("changelog.md"))
        .flat_map(|page| {
            let text = std::fs::read_to_string(page).unwrap();
            commands(&text).into_iter().map(|command| (page.clone(), command)).collect::<Vec<_>>()
        })
        .collect();
    assert!(commands.len() > 40, "{} commands only", commands.len());
    for (page, command) in commands {
        if let Err(error) = grammar().try_get_matches_from(words(&command)) {
            let is_help =
                [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
            assert!(is_help, "{}: `{command}`: {error}", page.display());
        }
    }
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ext| ext == "md")).collect()
}

/// Lines of the program in blocks of shell, variables in front of it left out.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_shell = false;
    for line in text.replace("\\\n", " ").lines() {
        if line.starts_with("```") {
            in_shell = line == "```sh";
        } else if in_shell && let Some(at) = line.find("polyptych ") {
            let before = &line[..at];
            if before.is_empty() || before.trim_end().split(' ').all(|word| word.contains('=')) {
                found.push(line[at..].to_owned());
            }
        }
    }
    found
}

/// The words that a shell makes of `command`, its comment and redirection left out.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#' | '>' | '|' | '&' | ';') if words.last().is_some_and(String::is_empty) => {
                break;
            }
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn commands_are_found_as_a_shell_reads_them() {
    let text =
        "polyptych no\n```sh\nA=1 polyptych train x \\\n  --set 'a=\"b\"'   # why\ncargo x\n```\n";
    let found = commands(text);
    assert_eq!(found.len(), 1);
    assert_eq!(words(&found[0]), ["polyptych", "train", "x", "--set", "a=\"b\""]);
}

#[test]
fn a_cause_is_said_once() {
    let absent = || std::io::Error::other("absent");
    let path = "a.toml".into();
    let quoted = polyptych_engine::Error::Io { path, source: absent() };
    assert_eq!(one_line(&quoted.into()), "a.toml: absent");
    let added = anyhow::Error::from(absent()).context("b.toml");
    assert_eq!(one_line(&added), "b.toml: absent");
}

#[test]
fn grammar_is_consistent_and_every_command_says_what_it_does() {
    grammar().debug_assert();
    let grammar = grammar();
    assert_eq!(grammar.get_subcommands().count(), COMMANDS.len());
    assert!(grammar.get_subcommands().all(|command| command.get_about().is_some()));
}

#[test]
fn later_stages_and_closing_rows_of_shipped_recipes_can_be_made() {
    for (name, text) in recipes::SHIPPED {
        let recipe = Recipe::parse(name, text, &[]).unwrap();
        let made = recipe.check_later(Ranks::ALONE, Path::new("runs/run"));
        assert!(made.is_ok(), "{name}: {}", made.unwrap_err());
    }
}

/// Those of Swin, which alone has a choice of them.
#[test]
fn rows_of_a_table_read_the_same_levels() {
    for (name, text) in recipes::SHIPPED {
        let recipe = Recipe::parse(name, text, &[]).unwrap();
        let levels = |recipe: &Recipe| {
            let own = || recipe.adapter.plan(&recipe.task_names(), Form::Adapted);
            recipe.backbone.pyramid.unwrap_or_else(|| own().unwrap().pyramid())
        };
        let is_swin = recipe.backbone.name.starts_with("swin_");
        for row in recipe.compare.iter().filter(|_| is_swin) {
            let other = recipe.compared(row).unwrap().0;
            assert_eq!(levels(&other), levels(&recipe), "{name}: {}", row.name);
        }
    }
}
