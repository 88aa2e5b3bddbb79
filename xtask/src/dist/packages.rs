//! The parts list: every crate in the program, in the format of CycloneDX.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::process;
use crate::workspace;

/// The parts list as JSON, in an order that does not change.
pub(super) fn bill(root: &Path) -> Result<String> {
    let mut command = workspace::cargo_command();
    command.current_dir(root).args(["tree", "--locked", "--package", "polyptych-cli"]);
    command.args(["--edges", "normal", "--prefix", "none", "--format", "{p}|{l}"]);
    let text = process::output(&mut command);
    let text = text.with_context(|| format!("`{}` failed", process::shown(&command)))?;
    Ok(format!("{:#}\n", of(&text)))
}

fn of(tree: &str) -> Value {
    let mut components: Vec<(String, String, String)> =
        tree.lines().filter_map(component).collect();
    components.sort();
    components.dedup();
    let components: Vec<Value> = components
        .into_iter()
        .map(|(name, version, licence)| {
            json!({
                "type": "library", "name": name, "version": version,
                "purl": format!("pkg:cargo/{name}@{version}"),
                "licenses": [{ "expression": licence }],
            })
        })
        .collect();
    json!({ "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components })
}

/// Name, version and licence of a line such as `serde v1.0.0 (*)|MIT`.
fn component(line: &str) -> Option<(String, String, String)> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    // Old manifests have a slash for "or".
    let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
    Some((name.to_owned(), version.to_owned(), licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_is_listed_once() {
        let bill = of("b v1.0.0 (/x)|MIT\na v2.0.0|MIT/Apache-2.0\na v2.0.0|MIT/Apache-2.0 (*)\n");
        let names: Vec<&Value> =
            bill["components"].as_array().unwrap().iter().map(|part| &part["purl"]).collect();
        assert_eq!(names, ["pkg:cargo/a@2.0.0", "pkg:cargo/b@1.0.0"]);
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
    }

    #[test]
    fn the_workspace_has_a_bill() {
        let bill = bill(&workspace::root()).unwrap();
        assert!(bill.contains("\"pkg:cargo/tch@0.24.0\""), "{bill}");
    }
}
