//! Tables of starts of names.

/// Replaces the first of `table`'s left sides that `name` starts with by its right side.
pub(crate) fn replace_prefix(name: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from)?)))
}
