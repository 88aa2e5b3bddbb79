//! `cargo xtask tidy`: the rules that neither compiler nor clippy know.
//!
//! Each rule is an ordinary test too, so that `cargo test` holds them.

mod arrows;
mod circles;
#[cfg(test)]
pub(crate) mod commands;
mod files;
mod known;
mod lengths;
mod links;
mod messages;
mod pages;
mod rooms;
pub(crate) mod table;
mod text;
mod words;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::command::Subcommand;
use crate::workspace;

/// Check the rules that neither compiler nor clippy know
#[derive(Parser)]
#[command(name = "tidy")]
pub(crate) struct Tidy {}

impl Subcommand for Tidy {
    fn run(_: &Self) -> Result<ExitCode> {
        run()
    }
}

/// Prints every breach.
pub(crate) fn run() -> Result<ExitCode> {
    let breaches = breaches()?;
    if breaches.is_empty() {
        println!("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    for breach in &breaches {
        eprintln!("{breach}");
    }
    eprintln!("error: {} breaches of the rules in docs/contributing.md", breaches.len());
    Ok(ExitCode::FAILURE)
}

fn breaches() -> Result<Vec<String>> {
    let root = workspace::root();
    let files = files::all(&root)?;
    let mut breaches = files::top_level(&root)?;
    for file in &files {
        breaches.extend(text::check(file));
    }
    breaches.extend(pages::check(&files));
    breaches.extend(arrows::check(&root)?);
    breaches.extend(rooms::check(&files));
    breaches.extend(circles::check(&files)?);
    breaches.extend(lengths::check(&files));
    breaches.extend(words::check(&files));
    breaches.extend(links::check(&root, &files));
    breaches.extend(messages::check(&files));
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(breaches: &[String]) {
        assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
    }

    #[test]
    fn top_level_holds_what_the_design_lists() {
        none(&files::top_level(&workspace::root()).unwrap());
    }

    #[test]
    fn every_file_keeps_the_rules_of_text() {
        let files = files();
        assert!(files.len() > 30, "the walk found {} files only", files.len());
        none(&files.iter().flat_map(text::check).collect::<Vec<_>>());
    }

    #[test]
    fn pages_name_functions_that_exist() {
        none(&pages::check(&files()));
    }

    #[test]
    fn arrows_follow_the_architecture_page() {
        none(&arrows::check(&workspace::root()).unwrap());
    }

    fn files() -> Vec<files::File> {
        files::all(&workspace::root()).unwrap()
    }

    #[test]
    fn rooms_follow_the_architecture_page() {
        none(&rooms::check(&files()));
    }

    #[test]
    fn no_files_use_each_other_in_a_circle() {
        none(&circles::check(&files()).unwrap());
    }

    #[test]
    fn library_files_are_short() {
        none(&lengths::check(&files()));
    }

    #[test]
    fn links_of_pages_lead_somewhere_and_the_site_has_all_pages() {
        none(&links::check(&workspace::root(), &files()));
    }

    #[test]
    fn the_page_about_messages_has_those_that_are_printed() {
        none(&messages::check(&files()));
    }

    #[test]
    fn names_follow_the_glossary() {
        none(&words::check(&files()));
    }
}
