//! No library file is longer than 300 lines, its tests apart.

use std::collections::BTreeMap;

use super::files::File;
use super::known::Known;

/// Most lines of a library file without its tests.
const MAX_LINES: usize = 300;

const KNOWN: Known =
    Known { path: "xtask/src/tidy/known_long.txt", text: include_str!("known_long.txt") };

/// Files that are too long and not known to be, and known ones that are no longer.
pub(super) fn check(files: &[File]) -> Vec<String> {
    KNOWN.compare(&too_long(files))
}

fn too_long(files: &[File]) -> BTreeMap<String, String> {
    let library = files.iter().filter(|file| file.is_library());
    let lengths = library.map(|file| (file, lines_without_tests(&file.text)));
    let long = lengths.filter(|(_, lines)| *lines > MAX_LINES);
    let says = |(file, lines): (&File, usize)| {
        let path = &file.path;
        let message = format!("{path}: {lines} lines without tests, at most {MAX_LINES}: split it");
        (path.clone(), message)
    };
    long.map(says).collect()
}

/// Lines outside of `#[cfg(test)] mod` blocks, which rustfmt closes at the first column.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let (mut count, mut at) = (0, 0);
    while at < lines.len() {
        let block =
            lines[at] == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| opens_module(next));
        if block {
            at += lines[at..].iter().position(|line| *line == "}").unwrap_or(lines.len());
        } else {
            count += 1;
        }
        at += 1;
    }
    count
}

fn opens_module(line: &str) -> bool {
    line.ends_with('{') && (line.starts_with("mod ") || line.contains(" mod "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: String) -> File {
        File { path: path.into(), text }
    }

    #[test]
    fn tests_do_not_count() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    f();\n".repeat(400));
        assert_eq!(lines_without_tests(&format!("//! A.\n{tests}fn f() {{}}\n")), 2);
        let shared = tests.replace("mod tests", "pub(super) mod tests");
        assert_eq!(lines_without_tests(&shared), 0);
        assert_eq!(lines_without_tests("#[cfg(test)]\nmod tests;\n"), 2);
    }

    #[test]
    fn long_library_files_are_named() {
        let text = "// x\n".repeat(MAX_LINES + 1);
        let paths = ["crates/a/src/b.rs", "crates/a/src/b/tests.rs", "crates/a/tests/c.rs"];
        let files = paths.map(|path| file(path, text.clone()));
        let found = too_long(&files);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["crates/a/src/b.rs"]);
        assert!(found["crates/a/src/b.rs"].contains("301 lines without tests, at most 300"));
        assert!(too_long(&[file("xtask/src/a.rs", "// x\n".repeat(MAX_LINES))]).is_empty());
    }
}
