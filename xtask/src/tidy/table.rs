//! Tables of our Markdown pages.

/// Rows of the table below the first line whose cells `is_header` accepts.
pub(crate) fn rows(page: &str, is_header: impl Fn(&[String]) -> bool) -> Option<Vec<Vec<String>>> {
    let mut lines = page.lines().skip_while(|line| !is_header(&cells(line)));
    lines.next()?;
    let rows = lines.take_while(|line| line.trim_start().starts_with('|')).skip(1);
    Some(rows.map(cells).collect())
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    if !line.starts_with('|') {
        return Vec::new();
    }
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// What stands in backticks.
pub(super) fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_with_its_rows() {
        let page = "a | b\n\n| a | b |\n|---|---|\n| `x`, `y` | |\n\n| z |\n";
        let found = rows(page, |cells| cells == ["a", "b"]);
        assert_eq!(found, Some(vec![vec!["`x`, `y`".to_owned(), String::new()]]));
        assert_eq!(rows(page, |cells| cells == ["c"]), None);
        assert_eq!(names("`x`, `y` and z"), ["x", "y"]);
    }
}
