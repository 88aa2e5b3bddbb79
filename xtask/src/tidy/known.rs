//! Lists of breaches that are known and wait to be mended; they may only grow shorter.

use std::collections::BTreeMap;

/// A committed list: one breach a line, `#` before a comment.
pub(super) struct Known {
    /// File of the list, below the root.
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

impl Known {
    /// Breaches of `found` (line of the list, message) that are not listed, and stale lines.
    pub(super) fn compare(&self, found: &BTreeMap<String, String>) -> Vec<String> {
        let new = found.iter().filter(|(key, _)| !self.lines().any(|(_, line)| line == *key));
        let new = new.map(|(_, message)| message.clone());
        let stale = self.lines().filter(|(_, line)| !found.contains_key(*line));
        let stale = stale.map(|(number, line)| {
            format!("{}:{number}: `{line}` is no longer true: delete the line", self.path)
        });
        new.chain(stale).collect()
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let lines = (1..).zip(self.text.lines().map(str::trim));
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_breaches_and_stale_lines_fail() {
        let known = Known { path: "list.txt", text: "# Why.\na.rs\ngone.rs\n" };
        let found = ["a.rs", "b.rs"].map(|key| (key.to_owned(), format!("{key}: too long")));
        assert_eq!(
            known.compare(&BTreeMap::from(found)),
            ["b.rs: too long", "list.txt:3: `gone.rs` is no longer true: delete the line"]
        );
    }
}
