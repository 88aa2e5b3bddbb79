//! What the sections of a page share.

use maud::{Markup, html};

use crate::ParameterSummary;
use crate::report::extremes::Extremes;
use crate::report::stored::StoredRun;
use crate::report::taken::Taken;

/// A run with what its model adds to its files.
pub(in crate::report) struct Shown {
    pub(in crate::report) run: StoredRun,
    pub(in crate::report) parameters: Option<ParameterSummary>,
    pub(in crate::report) merging: Option<Merging>,
    pub(in crate::report) taken: Option<Taken>,
    pub(in crate::report) extremes: Vec<Extremes>,
}

/// What merging makes of a model, in stored numbers.
pub(in crate::report) struct Merging {
    pub(in crate::report) before: i64,
    pub(in crate::report) after: i64,
    /// Of the method's own that stay.
    pub(in crate::report) kept: i64,
    /// Why the method does not merge.
    pub(in crate::report) refused: Option<String>,
}

/// Names of the tasks of all runs, each once.
pub(super) fn task_names(runs: &[Shown]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in runs.iter().flat_map(|shown| shown.run.recipe.task_names()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A table that scrolls by itself where it is wider than the page.
pub(super) fn scrolling(label: &str, table: Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// `34262906` as `34,262,906`.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}
