//! Links between pages of the repository: each leads to a file, and to a heading where it names one.

use std::collections::BTreeSet;
use std::path::Path;

use super::markdown::{anchors, resolve, targets};

/// The list of the site's pages, in their order.
pub(super) const SUMMARY: &str = "docs/SUMMARY.md";

/// A page below the root, and its text.
pub(crate) type Page<'p> = (&'p str, &'p str);

/// Links of `pages` that lead nowhere below `root`. What is below `docs/reference` is written when
/// the site is built, which checks it.
pub(crate) fn broken(root: &Path, pages: &[Page<'_>]) -> Vec<String> {
    let of_page = |page: &Page<'_>| {
        let (path, text) = *page;
        targets(text)
            .into_iter()
            .filter(|(_, _, target)| !is_elsewhere(target))
            .filter_map(|(start, _, target)| {
                let reason = wrong(root, pages, path, target)?;
                let line = text[..start].lines().count().max(1);
                Some(format!("{path}:{line}: link `{target}`: {reason}"))
            })
            .collect::<Vec<_>>()
    };
    pages.iter().flat_map(of_page).collect()
}

/// Whether it leaves the repository.
pub(super) fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

fn wrong(root: &Path, pages: &[Page<'_>], from: &str, target: &str) -> Option<&'static str> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, path) };
    let Some(path) = path else { return Some("leaves the repository") };
    if path.starts_with("docs/reference/") {
        return None;
    }
    if !root.join(&path).exists() {
        return Some("no such file");
    }
    let page = pages.iter().find(|(known, _)| *known == path);
    let known = page.is_none_or(|(_, text)| anchors(text).iter().any(|known| known == anchor));
    (!anchor.is_empty() && !known).then_some("no such heading")
}

/// Those of `pages` below `docs` and `datasets` that the summary does not list.
pub(crate) fn unlisted(pages: &[Page<'_>]) -> Vec<String> {
    let summary = pages.iter().find(|(path, _)| *path == SUMMARY).map_or("", |(_, text)| text);
    let listed: BTreeSet<String> =
        targets(summary).iter().filter_map(|(_, _, target)| resolve(SUMMARY, target)).collect();
    let ours = |path: &str| path.starts_with("docs/") || path.starts_with("datasets/");
    let paths = pages.iter().map(|(path, _)| *path).filter(|path| ours(path) && *path != SUMMARY);
    let lost = paths.filter(|path| !listed.contains(*path));
    lost.map(|path| format!("{path}: not in {SUMMARY}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_named_with_their_line() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("docs")).unwrap();
        std::fs::write(root.path().join("docs/b.md"), "").unwrap();
        let good = "[b](b.md) [h](b.md#two-words) [w](https://x.y) [r](reference/recipe.md)";
        let bad = "\n[c](c.md)\n[h](b.md#three)\n[o](../../x)\n";
        let b = ("docs/b.md", "# Two words\n");
        assert_eq!(broken(root.path(), &[("docs/a.md", good), b]), [] as [&str; 0]);
        assert_eq!(
            broken(root.path(), &[("docs/a.md", bad), b]),
            [
                "docs/a.md:2: link `c.md`: no such file",
                "docs/a.md:3: link `b.md#three`: no such heading",
                "docs/a.md:4: link `../../x`: leaves the repository",
            ]
        );
    }

    #[test]
    fn pages_that_the_summary_leaves_out_are_named() {
        let all =
            [(SUMMARY, "[A](a.md)"), ("docs/a.md", ""), ("docs/b.md", ""), ("crates/c.md", "")];
        assert_eq!(unlisted(&all), ["docs/b.md: not in docs/SUMMARY.md"]);
    }
}
