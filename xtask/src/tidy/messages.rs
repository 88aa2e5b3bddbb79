//! Headings of the page about messages are what the program prints.
//!
//! ` .. ` stands for what differs, so what lies between has to be in the source of a crate, whole or
//! in the parts of which errors are made: `key: expected this, found that`.

use super::files::File;

const PAGE: &str = "docs/troubleshooting.md";

/// Messages of the loader, of the build script of `torch-sys`, and of the system.
const OTHERS: [&str; 4] = [
    "error while loading shared libraries: libtorch_cpu.so",
    "Cannot find a libtorch install",
    "File too large",
    "No space left on device",
];

/// Headings that nothing prints, and a page without any.
pub(super) fn check(files: &[File]) -> Vec<String> {
    let page = files.iter().find(|file| file.path == PAGE).map_or("", |file| &file.text);
    let headings: Vec<(usize, &str)> = headings(page).collect();
    if headings.is_empty() {
        return vec![format!("{PAGE}: expected headings with messages in backticks, found none")];
    }
    let library = files.iter().filter(|file| file.is_library() && file.path.starts_with("crates/"));
    let sources: Vec<String> = library.map(|file| printed(&file.text)).collect();
    let unknown = headings.into_iter().filter(|(_, message)| !is_printed(message, &sources));
    unknown.map(|(line, message)| format!("{PAGE}:{line}: nothing prints `{message}`")).collect()
}

/// Line and text of every message of a heading.
fn headings(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let headings = (1..).zip(page.lines()).filter(|(_, line)| line.starts_with('#'));
    headings.flat_map(|(number, line)| spans(line).into_iter().map(move |span| (number, span)))
}

/// What stands in backticks, of which some may stand in several.
fn spans(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        let from = &rest[at..];
        let after = from.trim_start_matches('`');
        let mark = &from[..from.len() - after.len()];
        let Some(end) = after.find(mark) else { break };
        found.push(after[..end].trim());
        rest = &after[end + mark.len()..];
    }
    found
}

/// A source without tests and comments, its literals of several lines as they are printed.
fn printed(source: &str) -> String {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut text = String::new();
    for line in code.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        match line.strip_suffix('\\') {
            Some(start) => text.push_str(start),
            None => text.extend([line, "\n"]),
        }
    }
    text
}

fn is_printed(message: &str, sources: &[String]) -> bool {
    let is_in = |part: &str| sources.iter().any(|source| source.contains(part));
    let is_made = |whole: &str| {
        let halves = whole.split("expected ").flat_map(|part| part.split(", found "));
        halves.flat_map(|part| part.split(": ")).map(bare).all(is_in)
    };
    let mut wholes = message.split("..");
    OTHERS.contains(&message) || wholes.all(|whole| is_in(bare(whole)) || is_made(whole))
}

fn bare(part: &str) -> &str {
    part.trim_matches([' ', ',', ':', '[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "//! Says `a comment`.\n\
        #[error(\"device `{asked}`: {reason}\")]\n\
        fn f() { refused(\"root\", \"the data set \\\n    in {}\", \"no such folder\") }\n\
        #[cfg(test)]\nmod tests {\n    \"a test\"\n}\n";

    fn found(heading: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let page = file(PAGE, &format!("# Page\n\n### {heading}\n"));
        check(&[page, file("crates/a/src/b.rs", SOURCE), file("xtask/src/c.rs", "\"of xtask\"")])
    }

    #[test]
    fn what_is_printed_passes_whole_or_in_parts() {
        assert_eq!(found("``device `..`: ..``"), [] as [&str; 0]);
        assert_eq!(
            found("`root: expected the data set in .., found no such folder`"),
            [] as [&str; 0]
        );
        assert_eq!(found("`File too large`, `No space left on device`"), [] as [&str; 0]);
    }

    #[test]
    fn what_nothing_prints_is_named_with_its_line() {
        assert_eq!(
            found("`device cuda:0: ..`"),
            ["docs/troubleshooting.md:3: nothing prints `device cuda:0: ..`"]
        );
        for other in ["`a comment`", "`a test`", "`of xtask`", "`root`, `LIBTORCH: ..`"] {
            assert_eq!(found(other).len(), 1, "{other}");
        }
        assert!(found("Status 503")[0].ends_with("found none"));
    }
}
