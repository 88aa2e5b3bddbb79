//! A program outside of the workspace depends on the crates by the lines that the page gives.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// The dependencies of `docs/install.md`, with the path of this checkout.
fn dependencies(root: &Path) -> String {
    let page = fs::read_to_string(root.join("docs/install.md")).unwrap();
    let (_, section) = page.split_once("## A crate in your own program").unwrap();
    let (_, block) = section.split_once("```toml\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    block.replace("polyptych/crates", &root.join("crates").display().to_string())
}

#[test]
fn the_documented_lines_resolve_outside_of_the_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let package =
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    let manifest = format!("{package}{}", dependencies(root));
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    // The same versions, so that nothing is fetched.
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(folder.path()).args(["tree", "--offline", "--depth=1", "--prefix=none"]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tree = String::from_utf8(output.stdout).unwrap();
    for name in ["polyptych-engine v", "polyptych-kernels v"] {
        assert!(tree.lines().any(|line| line.starts_with(name)), "{tree}");
    }
}
