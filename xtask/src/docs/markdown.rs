//! Links of Markdown, as far as our pages use them.

/// Start, end and text of the target of every link and picture in `text`, code left out.
pub(super) fn targets(text: &str) -> Vec<(usize, usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            of_line(line, start, &mut found);
        }
        start += line.len();
    }
    found
}

fn of_line<'t>(line: &'t str, offset: usize, found: &mut Vec<(usize, usize, &'t str)>) {
    let mut in_code = false;
    let mut rest = 0;
    while let Some(next) = line[rest..].find(['`', ']']).map(|at| at + rest) {
        rest = next + 1;
        if line[next..].starts_with('`') {
            in_code = !in_code;
        } else if !in_code && line[rest..].starts_with('(') {
            let Some(length) = line[rest..].find(')') else { return };
            found.push((offset + rest + 1, offset + rest + length, &line[rest + 1..rest + length]));
            rest += length;
        }
    }
}

/// The anchors of a page's headings, as mdBook and code hosts name them.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut in_block = false;
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        if let Some(title) = line.strip_prefix('#').filter(|_| !in_block) {
            let anchor = anchor(title.trim_start_matches('#').trim());
            let again = found.iter().filter(|known| **known == anchor).count();
            found.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
        }
    }
    found
}

fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// `target` relative to the page `from`, both below the root; `None` where it leaves the root.
pub(super) fn resolve(from: &str, target: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The path from the folder of `from` to `to`.
#[cfg(any(feature = "book", test))]
pub(super) fn relative(from: &str, to: &str) -> String {
    let from: Vec<&str> = from.split('/').collect();
    let to: Vec<&str> = to.split('/').collect();
    let folders = from.len() - 1;
    let common = from[..folders].iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", folders - common);
    up.chain(to[common..].iter().copied()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text = "a [b](c.md#d) `[x](y)`\n```\n[no](no)\n```\n![p](q.png) [0, 1]\n";
        let found: Vec<&str> = targets(text).iter().map(|(_, _, target)| *target).collect();
        assert_eq!(found, ["c.md#d", "q.png"]);
        assert!(targets(text).iter().all(|(start, end, target)| &text[*start..*end] == *target));
    }

    #[test]
    fn headings_have_anchors() {
        let text = "# Two words\n## `a.b`, and c\n```\n# no\n```\n## Two words\n";
        assert_eq!(anchors(text), ["two-words", "ab-and-c", "two-words-1"]);
    }

    #[test]
    fn paths_go_to_and_fro() {
        assert_eq!(resolve("docs/a/b.md", "../c.md").as_deref(), Some("docs/c.md"));
        assert_eq!(resolve("a.md", "../c.md"), None);
        assert_eq!(relative("a/b.md", "c/d.md"), "../c/d.md");
        assert_eq!(relative("b.md", "c/d.md"), "c/d.md");
    }
}
