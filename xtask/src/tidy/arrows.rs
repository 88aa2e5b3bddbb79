//! Who may depend on whom: the table of the architecture page against `cargo metadata`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::files::PAGE;
use super::table;
use crate::process;
use crate::workspace;

/// Packages that are LibTorch's.
const LIBTORCH: [&str; 2] = ["tch", "torch-sys"];

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    /// Names of our crates.
    allowed: Vec<String>,
    libtorch: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for a normal dependency.
    kind: Option<String>,
}

/// Every arrow that the table does not allow, and every crate it does not know.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let page = root.join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    Ok(compare(&arrows(&text)?, &metadata(root)?))
}

fn metadata(root: &Path) -> Result<Metadata> {
    let mut command = workspace::cargo_command();
    command.current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]);
    let text = process::output(&mut command).context("`cargo metadata` failed")?;
    Ok(serde_json::from_str(&text)?)
}

/// Reads the rows `| crate | question | may depend on |`.
fn arrows(page: &str) -> Result<Vec<Row>> {
    let rows = table::rows(page, is_header).with_context(|| {
        format!("{PAGE}: expected a table `| crate | question | may depend on |`, found none")
    })?;
    let names: Vec<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    rows.iter().enumerate().map(|(index, row)| parse(row, &names[..index], &names)).collect()
}

fn is_header(cells: &[String]) -> bool {
    cells.len() == 3 && cells[0].starts_with("crate") && cells[2] == "may depend on"
}

fn parse(cells: &[String], above: &[String], all: &[String]) -> Result<Row> {
    let [name, _, may] = cells else {
        bail!("{PAGE}: expected three cells, found `{}`", cells.join(" | "));
    };
    let words: Vec<_> = may
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .filter(|word| !word.is_empty())
        .collect();
    let named = all.iter().filter(|name| words.contains(&name.as_str()));
    let allowed: Vec<String> =
        if words.contains(&"all") { above.to_vec() } else { named.cloned().collect() };
    let libtorch = !may.contains("no LibTorch");
    Ok(Row { name: name.trim_matches('`').to_owned(), allowed, libtorch })
}

fn compare(rows: &[Row], metadata: &Metadata) -> Vec<String> {
    let mut breaches = Vec::new();
    for package in &metadata.packages {
        // The benches may use any library crate, and nothing uses them.
        if package.name == "polyptych-benches" {
            continue;
        }
        match rows.iter().find(|row| row.name == short(&package.name)) {
            Some(row) => breaches.extend(package.breaches(row)),
            None => breaches.push(format!("{}: not in the table of {PAGE}", package.name)),
        }
    }
    breaches
}

fn short(package: &str) -> &str {
    package.strip_prefix("polyptych-").unwrap_or(package)
}

impl Package {
    fn breaches(&self, row: &Row) -> Vec<String> {
        let normal = self.dependencies.iter().filter(|dependency| dependency.kind.is_none());
        let forbidden = |dependency: &&Dependency| match dependency.name.strip_prefix("polyptych-")
        {
            Some(ours) => !row.allowed.iter().any(|name| name == ours),
            None => !row.libtorch && LIBTORCH.contains(&dependency.name.as_str()),
        };
        let says = |dependency: &Dependency| {
            format!("{} depends on {}, which {PAGE} does not allow", self.name, dependency.name)
        };
        normal.filter(forbidden).map(says).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE_TEXT: &str = "# Map\n\n| crate | question | may depend on |\n|---|---|---|\n\
        | `tensor` | numbers? | tch |\n| `data` | samples? | none of ours, no LibTorch |\n\
        | `heads` | outputs? | tensor |\n| `engine` | runs? | all above |\n\nText.\n";

    fn names(row: &Row) -> Vec<&str> {
        row.allowed.iter().map(String::as_str).collect()
    }

    fn found(package: &str, dependency: &str, kind: &str) -> Vec<String> {
        let text = format!(
            r#"{{"packages": [{{"name": "{package}", "dependencies": [{{"name": "{dependency}", "kind": {kind}}}]}}]}}"#
        );
        compare(&arrows(PAGE_TEXT).unwrap(), &serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn the_table_is_read() {
        let rows = arrows(PAGE_TEXT).unwrap();
        assert_eq!(
            rows.iter().map(names).collect::<Vec<_>>(),
            [vec![], vec![], vec!["tensor"], vec!["tensor", "data", "heads"]]
        );
        assert_eq!(
            rows.iter().map(|row| row.libtorch).collect::<Vec<_>>(),
            [true, false, true, true]
        );
        assert!(arrows("no table").is_err());
    }

    #[test]
    fn arrows_up_or_sideways_are_breaches() {
        assert!(found("polyptych-heads", "polyptych-tensor", "null").is_empty());
        assert!(found("polyptych-engine", "polyptych-data", "null").is_empty());
        assert_eq!(found("polyptych-tensor", "polyptych-heads", "null").len(), 1);
        assert_eq!(found("polyptych-data", "tch", "null").len(), 1);
        assert!(found("polyptych-tensor", "tch", "null").is_empty());
        assert_eq!(
            found("polyptych-new", "serde", "null"),
            ["polyptych-new: not in the table of docs/architecture.md"]
        );
    }

    #[test]
    fn tests_may_point_sideways() {
        assert!(found("polyptych-tensor", "polyptych-heads", "\"dev\"").is_empty());
    }
}
