//! Every example of the crates, run by the command that its first lines give.

use std::env::consts::EXE_SUFFIX;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace;

/// Words behind which `cargo` expects the name of an example.
const FLAG: &str = "--example ";

/// Runs all examples but those whose command asks for a file.
///
/// They are those that `cargo test` has built, beside this program: `cargo run` for one package
/// would choose features for it alone, and build what it depends on again.
///
/// # Errors
/// An example that fails, or whose first lines do not say how it is run.
pub(super) fn run() -> Result<()> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program lies in a folder")?.join("examples");
    for (package, name, words) in all(&workspace::root())? {
        let mut command = Command::new(folder.join(format!("{name}{EXE_SUFFIX}")));
        command.current_dir(workspace::root()).args(words);
        println!("example {name} of {package}");
        process::step(&mut command)?;
    }
    Ok(())
}

/// Package, name and words of each example that needs no file, by name.
fn all(root: &Path) -> Result<Vec<(String, String, Vec<String>)>> {
    let mut found = Vec::new();
    let folders = fs::read_dir(root.join("crates"))?.collect::<Result<Vec<_>, _>>()?;
    for folder in folders.iter().filter(|folder| folder.path().join("examples").is_dir()) {
        for file in fs::read_dir(folder.path().join("examples"))? {
            let path = file?.path();
            let Some(name) =
                path.file_stem().filter(|_| path.extension().is_some_and(|e| e == "rs"))
            else {
                continue;
            };
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let words = words(&text, &name.to_string_lossy());
            let words = words.with_context(|| path.display().to_string())?;
            if let Some(words) = words {
                let package = format!("polyptych-{}", folder.file_name().to_string_lossy());
                found.push((package, name.to_string_lossy().into_owned(), words));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What the command in the first lines of `text` gives the example `name`; none where that is a
/// file of the reader's.
fn words(text: &str, name: &str) -> Result<Option<Vec<String>>> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let opening = lines.collect::<Vec<_>>().join(" ");
    let command = opening.split_once(FLAG).and_then(|(_, rest)| rest.split('`').next());
    let Some(rest) = command.and_then(|command| command.strip_prefix(name)) else {
        bail!("expected the command with `{FLAG}{name}` in the first lines, found none");
    };
    let words = rest.split_once("-- ").map_or("", |(_, words)| words);
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    let is_file = |word: &String| word.contains(['.', '[']) || word.chars().any(char::is_uppercase);
    Ok((!words.iter().any(is_file)).then_some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_say_how_an_example_is_run() {
        let of = |text: &str| words(text, "a").unwrap();
        assert_eq!(of("//! A: `cargo run -p b\n//! --example a`.\n"), Some(vec![]));
        assert_eq!(
            of("//! `cargo run --example a -- recipe losses`\n"),
            Some(vec!["recipe".to_owned(), "losses".to_owned()])
        );
        assert_eq!(of("//! `cargo run --example a -- FOLDER`\n"), None);
        assert_eq!(of("//! `cargo run --example a -- a.png [first]`\n"), None);
        assert!(words("//! A.\n", "a").is_err());
    }

    #[test]
    fn every_crate_for_others_has_an_example() {
        let root = workspace::root();
        let found = all(&root).unwrap();
        for folder in fs::read_dir(root.join("crates")).unwrap() {
            let folder = folder.unwrap();
            let package = format!("polyptych-{}", folder.file_name().to_string_lossy());
            let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
            let is_private = manifest.contains("\npublish = false\n");
            assert!(is_private || found.iter().any(|(of, ..)| *of == package), "{package}");
        }
    }
}
