//! Packages that may be published say what a registry asks for, and contain their licences.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Most keywords that a registry takes, and most letters of one.
const MAX_KEYWORDS: usize = 5;
const MAX_KEYWORD: usize = 20;
const LICENCES: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn cargo(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    let output = command.current_dir(root()).args(words).arg("--offline").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Packages of the workspace that are not kept private.
fn public() -> Vec<Value> {
    let text = cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let mut metadata: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(mut packages) = metadata["packages"].take() else { panic!("{text}") };
    packages.retain(|package| package["publish"].is_null());
    packages
}

fn words(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

#[test]
fn every_public_package_says_what_a_registry_asks_for() {
    let packages = public();
    assert!(packages.len() > 12, "{}", packages.len());
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        assert!(name.starts_with("polyptych-"), "{name}");
        for field in ["description", "readme", "rust_version"] {
            assert!(
                package[field].as_str().is_some_and(|text| !text.is_empty()),
                "{name}: {field}"
            );
        }
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{name}");
        let keywords = words(&package["keywords"]);
        assert!((1..=MAX_KEYWORDS).contains(&keywords.len()), "{name}: {keywords:?}");
        assert!(keywords.iter().all(|word| word.len() <= MAX_KEYWORD), "{name}: {keywords:?}");
        assert!(!words(&package["categories"]).is_empty(), "{name}");
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        for licence in LICENCES {
            let [own, ours] = [manifest.with_file_name(licence), root().join(licence)];
            assert_eq!(fs::read(own).unwrap(), fs::read(ours).unwrap(), "{name}: {licence}");
        }
    }
}

#[test]
fn every_public_package_contains_its_licences_and_its_readme() {
    let packages = public();
    let mut command = vec!["package", "--list", "--allow-dirty"];
    command.extend(packages.iter().flat_map(|of| ["--package", of["name"].as_str().unwrap()]));
    let files = cargo(&command);
    for file in [LICENCES[0], LICENCES[1], "README.md"] {
        let count = files.lines().filter(|line| *line == file).count();
        assert_eq!(count, packages.len(), "{file}");
    }
}
