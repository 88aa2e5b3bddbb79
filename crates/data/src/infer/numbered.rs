//! What maps of few numbers are labels of.

use super::found::Found;
use super::values::Counts;

/// Most values or colours that classes have.
pub(super) const MOST_CLASSES: usize = 64;
/// Boundaries cover less than this share of an image.
const THIN: f64 = 0.12;

/// Maps of few numbers, called `name`: two of them are present or not, more are classes.
pub(super) fn numbered(
    values: &Counts<u32>,
    name: &str,
    format: impl Into<String>,
    all_seen: bool,
) -> Found {
    let binary = [&[0, 1][..], &[0, 255], &[1], &[0]];
    if binary.iter().any(|known| values.values().eq(known.iter().copied())) {
        return Found::new(if is_edge(values, name) { "edge" } else { "sal" }, format);
    }
    let ignore: Vec<i64> = values.values().filter(|&value| value == 255).map(i64::from).collect();
    let kind = if name.contains("part") { "human_parts" } else { "semseg" };
    if all_seen && values.has_gaps() {
        return sparse(values, Found { ignore, ..Found::new(kind, format) });
    }
    let top = values.values().filter(|&value| value != 255).max();
    let classes = top.map_or(1, |top| top as usize + 1).min(255);
    Found { classes: numbers(0..classes), ignore, ..Found::new(kind, format) }
}

/// Whether what is present is as thin as boundaries are, or called like them.
pub(super) fn is_edge(values: &Counts<u32>, name: &str) -> bool {
    values.share(|value| value > 0) < THIN || is_called_edge(name)
}

/// Whether a name is one of boundaries.
pub(super) fn is_called_edge(name: &str) -> bool {
    ["edge", "bound", "contour"].iter().any(|word| name.contains(word))
}

/// Classes whose numbers have gaps: each of those that were seen.
fn sparse(values: &Counts<u32>, found: Found) -> Found {
    let seen: Vec<u32> = values.values().filter(|&value| value != 255).collect();
    let pairs = seen.iter().enumerate().map(|(class, value)| format!("[{value}, {class}]"));
    let pairs = pairs.collect::<Vec<_>>().join(", ");
    let classes = numbers(seen.iter().map(|&value| value as usize));
    Found { classes, ..found }.with(format!("map = [{pairs}]")).noting(format!(
        "only the stored values {seen:?} were seen: a value that `map` does not list is an error; \
         add it, or say `map_others = 255`"
    ))
}

/// Names of classes by their numbers.
pub(super) fn numbers(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("class {number}")).collect()
}
