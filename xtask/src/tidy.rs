//! `cargo xtask tidy`: the rules that neither compiler nor clippy know.
//!
//! Each rule is an ordinary test too, so that `cargo test` holds them.

mod arrows;
mod files;
mod pages;
mod text;

use std::process::ExitCode;

use anyhow::Result;

use crate::workspace;

/// Runs the command; every breach is printed.
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
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
        let files = files::all(&workspace::root()).unwrap();
        assert!(files.len() > 30, "the walk found {} files only", files.len());
        none(&files.iter().flat_map(text::check).collect::<Vec<_>>());
    }

    #[test]
    fn pages_name_tests_that_exist() {
        none(&pages::check(&files::all(&workspace::root()).unwrap()));
    }

    #[test]
    fn arrows_follow_the_architecture_page() {
        none(&arrows::check(&workspace::root()).unwrap());
    }
}
