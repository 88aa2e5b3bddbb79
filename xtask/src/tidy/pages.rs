//! Pages that say which test holds something, or which function does: all that they name exists.
//!
//! A reference is `path/of/file.rs::name` in backticks, the path below the repository's root.

use super::files::File;

/// Pages on which each row names its tests or functions.
const PAGES: [&str; 3] = ["docs/faults.md", "docs/security.md", "docs/architecture.md"];

/// References of [`PAGES`] that lead nowhere, and pages without any.
pub(super) fn check(files: &[File]) -> Vec<String> {
    PAGES.iter().flat_map(|page| check_page(page, files)).collect()
}

fn check_page(path: &str, files: &[File]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == path) else {
        return vec![format!("{path}: no such page")];
    };
    let references: Vec<(usize, &str, &str)> = references(&page.text).collect();
    if references.is_empty() {
        return vec![format!("{path}: names no function as `file.rs::function`")];
    }
    let lost = |(line, file, name): (usize, &str, &str)| {
        let found = files.iter().find(|other| other.path == file);
        let starts = [format!("fn {name}("), format!("fn {name}<")];
        let there = found.is_some_and(|found| starts.iter().any(|s| found.text.contains(s)));
        (!there).then(|| format!("{path}:{line}: no function `{file}::{name}`"))
    };
    references.into_iter().filter_map(lost).collect()
}

/// Line, file and name of every reference.
fn references(text: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let spans = (1..)
        .zip(text.lines())
        .flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(move |span| (line, span)));
    spans.filter_map(|(line, span)| {
        let (file, name) = span.split_once("::")?;
        file.ends_with(".rs").then_some((line, file, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(page: &str) -> Vec<File> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let good = "See `crates/a/src/lib.rs::it_works` and `crates/a/src/lib.rs::map`.\n";
        vec![
            file("crates/a/src/lib.rs", "//! A.\n#[test]\nfn it_works() {}\nfn map<T>() {}\n"),
            file(PAGES[0], page),
            file(PAGES[1], good),
            file(PAGES[2], good),
        ]
    }

    #[test]
    fn functions_that_exist_pass() {
        let page =
            "| a | `crates/a/src/lib.rs::it_works` |\nand `std::fs` or `x.rs` is no function\n";
        assert!(check(&files(page)).is_empty());
    }

    #[test]
    fn functions_that_do_not_exist_are_named_with_their_line() {
        let page = "\n`crates/a/src/lib.rs::it_worked`, `crates/b/src/lib.rs::it_works`\n";
        assert_eq!(
            check(&files(page)),
            [
                "docs/faults.md:2: no function `crates/a/src/lib.rs::it_worked`",
                "docs/faults.md:2: no function `crates/b/src/lib.rs::it_works`",
            ]
        );
        assert_eq!(
            check(&files("none")),
            ["docs/faults.md: names no function as `file.rs::function`"]
        );
        assert_eq!(check(&files("none")[..1])[0], "docs/faults.md: no such page");
    }
}
