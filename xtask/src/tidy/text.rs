//! Rules about what a file holds.

use super::files::File;

/// Longest file; look again well before.
const MAX_LINES: usize = 800;

// Spelt in halves, because this file is checked as well.
const UNFINISHED: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[", "ignore"),
];

const MACHINE_PATHS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("/m", "nt/"),
];

/// What opens connections: only `xtask` downloads, and `serve` answers.
const NETWORK: [&str; 3] = [concat!("std::", "net"), concat!("ur", "eq"), concat!("hf_", "hub")];
/// The files that ask it: for weights that a recipe names, and photographs of a command line.
const DOWNLOADS: [&str; 6] = [
    "crates/engine/src/run/hub.rs",
    "crates/cli/src/predict/download.rs",
    "crates/data/src/packed/remote/client.rs",
    "crates/data/src/packed/remote/trust.rs",
    "crates/data/tests/remote/server.rs",
    "crates/data/Cargo.toml",
];
/// The server, and the tests that ask it.
const SERVER: [&str; 3] = ["crates/serve/", "crates/cli/tests/", "crates/cli/Cargo.toml"];

/// Every breach in `file`, with its line.
pub(super) fn check(file: &File) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut breach =
        |line: usize, what: &str| breaches.push(format!("{}:{line}: {what}", file.path));
    let rust = file.path.ends_with(".rs");
    if rust && !file.text.starts_with("//!") {
        breach(1, "opens without `//!`");
    }
    let lines = file.text.lines().count();
    if is_code(&file.path) && lines > MAX_LINES {
        breach(lines, &format!("{lines} lines, at most {MAX_LINES}"));
    }
    if is_cpp(&file.path) && !file.path.starts_with("crates/kernels/") {
        breach(1, "C++ outside crates/kernels");
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        breach(lines, "no newline at the end");
    }
    for (index, line) in file.text.lines().enumerate() {
        for what in check_line(&file.path, line) {
            breach(index + 1, &what);
        }
    }
    breaches
}

fn is_cpp(path: &str) -> bool {
    [".cc", ".cpp", ".h", ".hpp"].iter().any(|end| path.ends_with(end))
}

fn is_code(path: &str) -> bool {
    path.ends_with(".rs") || is_cpp(path)
}

fn check_line(path: &str, line: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    if line.contains('\t') {
        breaches.push("a tab".to_owned());
    }
    if line.ends_with(' ') {
        breaches.push("white space at the end".to_owned());
    }
    breaches.extend(machine_path(line).map(|found| format!("`{found}` is a path of one machine")));
    if path.starts_with("crates/") && !path.ends_with(".md") && !may_connect(path) {
        let found = NETWORK.iter().filter(|word| line.contains(**word));
        breaches.extend(found.map(|word| {
            format!("`{word}`: only xtask, serve and {} use the network", DOWNLOADS.join(", "))
        }));
    }
    if path.ends_with(".rs") {
        let unfinished = UNFINISHED.iter().filter(|word| line.contains(**word));
        breaches.extend(unfinished.map(|word| format!("`{word}`")));
        if !path.starts_with("crates/kernels/") && is_unsafe(line) {
            breaches.push("unsafe code outside crates/kernels".to_owned());
        }
    }
    breaches
}

fn may_connect(path: &str) -> bool {
    DOWNLOADS.contains(&path) || SERVER.iter().any(|start| path.starts_with(start))
}

/// An absolute path, not the middle of a relative one or of an address.
fn machine_path(line: &str) -> Option<&'static str> {
    let starts = |path: &str| {
        line.match_indices(path).any(|(at, _)| {
            line[..at]
                .chars()
                .next_back()
                .is_none_or(|before| !before.is_alphanumeric() && !"._-/~}".contains(before))
        })
    };
    MACHINE_PATHS.into_iter().find(|path| starts(path))
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default().trim_start();
    let word = concat!("uns", "afe");
    let followed = [" {", " fn ", " impl", " extern", " trait"];
    followed.iter().any(|next| code.contains(&format!("{word}{next}")))
        || code.contains(&format!("allow({word}_code)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.into(), text: text.into() })
    }

    #[test]
    fn a_tidy_file_passes() {
        assert_eq!(breaches("crates/x/src/a.rs", "//! Doc.\n\nfn f() {}\n"), [] as [&str; 0]);
        assert_eq!(
            breaches("docs/a.md", "See https://example.org/home/page and docs/work/x.\n"),
            [] as [&str; 0]
        );
    }

    #[test]
    fn each_breach_is_named_with_its_line() {
        let found = |path: &str, text: &str, what: &str| {
            let breaches = breaches(path, text);
            assert!(breaches.iter().any(|breach| breach.contains(what)), "{what}: {breaches:?}");
        };
        found("a.rs", "fn f() {}\n", "a.rs:1: opens without");
        found("a.rs", &format!("//! D\n{}", "\n".repeat(800)), "801 lines");
        for word in UNFINISHED {
            found("a.rs", &format!("//! D\n{word})\n"), &format!("a.rs:2: `{word}`"));
        }
        found("a.md", "a\tb\n", "a tab");
        found("a.md", "a \n", "white space");
        found("a.md", "a", "no newline");
        for path in MACHINE_PATHS {
            found("a.md", &format!("see `{path}me`\n"), "a path of one machine");
        }
        let block = format!("//! D\n{} {{ f() }}\n", concat!("uns", "afe"));
        found("crates/data/src/a.rs", &block, "outside crates/kernels");
        assert!(breaches("crates/kernels/src/a.rs", &block).is_empty());
        for word in NETWORK {
            let line = format!("use {word};\n");
            found(
                "crates/data/src/a.rs",
                &line,
                "only xtask, serve and crates/engine/src/run/hub.rs, crates/cli/src/predict/",
            );
            for allowed in ["xtask/src/a.rs", DOWNLOADS[0], DOWNLOADS[1]] {
                assert!(breaches(allowed, &format!("//! A\n{line}")).is_empty());
            }
        }
        found("crates/data/src/a.cc", "\n", "C++ outside");
    }
}
