//! A program outside of the workspace depends on the crates by the lines that the page gives.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The first block of `language` in the section of `docs/install.md`.
fn block(language: &str) -> String {
    let page = fs::read_to_string(root().join("docs/install.md")).unwrap();
    let (_, section) = page.split_once("## A crate in your own program").unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// A package with the `dependencies` and the `build.rs` of the page.
fn package(folder: &Path, dependencies: &str, lock: &str) {
    let package =
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), format!("{package}{dependencies}")).unwrap();
    fs::write(folder.join("build.rs"), block("rust")).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    // The same versions, so that nothing is fetched.
    fs::write(folder.join("Cargo.lock"), lock).unwrap();
}

/// The dependencies that `command` prints.
fn has_both_crates(command: &mut Command) -> String {
    let output = command.args(["tree", "--depth=1", "--prefix=none"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let tree = String::from_utf8(output.stdout).unwrap();
    for name in ["polyptych-engine v", "polyptych-kernels v"] {
        assert!(tree.lines().any(|line| line.starts_with(name)), "{tree}");
    }
    tree
}

#[test]
fn the_documented_lines_resolve_outside_of_the_workspace() {
    let folder = tempfile::tempdir().unwrap();
    let crates = root().join("crates").display().to_string();
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    package(folder.path(), &block("toml").replace("polyptych/crates", &crates), &lock);
    let mut command = Command::new(env!("CARGO"));
    has_both_crates(command.current_dir(folder.path()).env("CARGO_NET_OFFLINE", "true"));
}

#[test]
fn the_documented_lines_of_build_rs_are_those_of_the_example() {
    let example = fs::read_to_string(root().join("crates/example/build.rs")).unwrap();
    let is_line = |line: &&str| {
        let code = line.trim();
        // What spares the example a build when a test changes.
        !code.is_empty() && !code.starts_with("//") && !code.contains("rerun-if-changed")
    };
    let (page, example) = (block("rust"), example.lines().filter(is_line).collect::<Vec<_>>());
    assert_eq!(page.lines().collect::<Vec<_>>(), example);
    assert_eq!(example.len(), 5);
}

/// From a repository, whose `HEAD` is what others get.
#[cfg(unix)]
#[test]
fn the_documented_lines_resolve_by_git() {
    let folder = tempfile::tempdir().unwrap();
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(folder.path()).args(words);
        command.output().ok().filter(|output| output.status.success())
    };
    if git(&["clone", "--quiet", &root().display().to_string(), "repository"]).is_none() {
        println!("skipped: the checkout is no repository of git, or git is not there");
        return;
    }
    let head = git(&["-C", "repository", "rev-parse", "HEAD"]).unwrap();
    let head = String::from_utf8(head.stdout).unwrap();
    let url = format!("file://{}", folder.path().join("repository").display());
    let source = format!("source = \"git+{url}#{}\"", head.trim());
    let lock = fs::read_to_string(folder.path().join("repository/Cargo.lock")).unwrap();
    let by_path = ["engine", "kernels"].map(|name| format!("path = \"polyptych/crates/{name}\""));
    let dependencies = by_path
        .iter()
        .fold(block("toml"), |lines, path| lines.replace(path, &format!("git = \"{url}\"")));
    assert_eq!(dependencies.matches(&url).count(), 2, "{dependencies}");
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    package(&outside, &dependencies, &with_source(&lock, &source));

    let home = folder.path().join("cargo");
    fs::create_dir(&home).unwrap();
    share_registry(&home);
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(&outside).env("CARGO_HOME", &home);
    // Not `CARGO_NET_OFFLINE`: the repository is fetched, from its folder.
    let tree = has_both_crates(command.env("CARGO_NET_GIT_FETCH_WITH_CLI", "true"));
    assert!(tree.contains(&format!("({url}#{})", &head[..8])), "{tree}");
}

/// `lock` where our packages come from `source`.
#[cfg(unix)]
fn with_source(lock: &str, source: &str) -> String {
    let mut ours = false;
    let line = |line: &str| {
        ours = (ours || line.starts_with("name = \"polyptych-")) && !line.is_empty();
        match ours && line.starts_with("version = ") {
            true => format!("{line}\n{source}\n"),
            false => format!("{line}\n"),
        }
    };
    lock.lines().map(line).collect()
}

/// Links to the crates that the user's cargo has, so that only the repository is new.
#[cfg(unix)]
fn share_registry(home: &Path) {
    let user = std::env::var_os("CARGO_HOME")
        .map_or_else(|| std::env::home_dir().unwrap().join(".cargo"), std::path::PathBuf::from);
    for name in ["registry", "config.toml"] {
        if user.join(name).exists() {
            std::os::unix::fs::symlink(user.join(name), home.join(name)).unwrap();
        }
    }
}
