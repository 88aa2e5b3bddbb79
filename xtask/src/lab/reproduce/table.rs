//! Tables of pages.

use std::fmt::Write;

/// A table in Markdown, the first of `lines` its head; all columns but the first are numbers.
pub(super) fn table(lines: &[Vec<String>]) -> String {
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(out, "| {} |", line.join(" | "));
        if index == 0 {
            let _ = writeln!(out, "|---|{}", "---:|".repeat(line.len() - 1));
        }
    }
    out.trim_end().to_owned()
}

/// A cell's text.
pub(super) fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
