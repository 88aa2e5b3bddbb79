//! Comments without what only rustdoc understands.

/// `text` with links to items of Rust as their words: ``[`Part`]`` and `[a part](Part)`.
///
/// Links of the web and blocks of code stay. Lines of a paragraph become one, headings bold.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut in_block = false;
    for line in text.lines() {
        let fence = line.starts_with("```");
        let own = in_block || fence || line.is_empty() || line.starts_with(['-', '|', '*', '#']);
        let joins = !own && !out.is_empty() && !out.ends_with('\n');
        if !out.is_empty() && !out.ends_with('\n') {
            out.push(if joins { ' ' } else { '\n' });
        }
        match line.strip_prefix("# ") {
            _ if in_block || fence => out.push_str(line),
            Some(heading) => out.push_str(&format!("**{heading}**")),
            None => out.push_str(&without_links(line.trim())),
        }
        in_block ^= fence;
        // What follows is a line of its own.
        if in_block || fence || line.is_empty() || line.starts_with('#') {
            out.push('\n');
        }
    }
    out.trim_end().to_owned()
}

fn without_links(text: &str) -> String {
    let Some((before, rest)) = text.split_once('[') else { return text.to_owned() };
    let Some((words, after)) = rest.split_once(']') else { return text.to_owned() };
    let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
    let (shown, after) = match target {
        Some((url, after)) if url.contains("//") => (format!("[{words}]({url})"), after),
        Some((_, after)) => (words.to_owned(), after),
        // A list of numbers or axes in code is no link.
        None if words.starts_with('`') && words.ends_with('`') => (words.to_owned(), after),
        None => (format!("[{words}]"), after),
    };
    format!("{before}{shown}{}", without_links(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_rustdoc_are_words_and_those_of_the_web_stay() {
        assert_eq!(plain("A [preset](A::b) of [`B`]."), "A preset of `B`.");
        assert_eq!(plain("[timm](https://x.y) in `[0, 1]`"), "[timm](https://x.y) in `[0, 1]`");
        assert_eq!(plain("one\ntwo\n\nthree\n- a\n- b"), "one two\n\nthree\n- a\n- b");
        let block = "of:\n```text\na[0](b)\n  c\n```\n\n# Shapes\n`x`";
        assert_eq!(plain(block), "of:\n```text\na[0](b)\n  c\n```\n\n**Shapes**\n`x`");
    }
}
