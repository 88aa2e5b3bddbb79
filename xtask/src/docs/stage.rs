//! Which pages the site has, where each lies in it, and what they take along.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::links::{SUMMARY, is_elsewhere};
use super::markdown::{relative, resolve, targets};

/// Pages by their path in the repository; those of the reference as if they lay there.
pub(super) type Pages = BTreeMap<String, String>;

/// The pages that the summary lists, those of `written` among them.
///
/// # Errors
/// A page that is listed and not there, or one below `docs` that nobody lists.
pub(super) fn pages(root: &Path, written: Pages) -> Result<Pages> {
    let read = |path: &str| {
        fs::read_to_string(root.join(path)).with_context(|| format!("{SUMMARY} lists {path}"))
    };
    let summary = read(SUMMARY)?;
    let mut pages = Pages::new();
    for (_, _, target) in targets(&summary) {
        let path = resolve(SUMMARY, target).unwrap_or_default();
        let text = match written.get(&path) {
            Some(text) => text.clone(),
            None => read(&path)?,
        };
        pages.insert(path, text);
    }
    if let Some(lost) = written.keys().find(|path| !pages.contains_key(*path)) {
        bail!("{SUMMARY}: expected the page {lost}, which is written from the code, found none");
    }
    pages.insert(SUMMARY.to_owned(), summary);
    Ok(pages)
}

/// Writes `pages` below `folder`, their links turned to where all lies there, and copies every
/// other file that they link to.
pub(super) fn write(root: &Path, pages: &Pages, folder: &Path) -> Result<()> {
    let mut files = BTreeSet::new();
    for (path, text) in pages {
        let text = moved(root, pages, path, text, &mut files);
        put(&folder.join(place(path)), text.as_bytes())?;
    }
    for path in files {
        let bytes = fs::read(root.join(&path)).with_context(|| path.clone())?;
        put(&folder.join(place(&path)), &bytes)?;
    }
    Ok(())
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let write =
        || fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| fs::write(path, bytes));
    write().with_context(|| path.display().to_string())
}

/// Where a file of the repository lies in the site: pages at the top, code below `files`.
fn place(path: &str) -> String {
    match path.split_once('/') {
        Some(("docs", below)) => below.to_owned(),
        Some(("datasets", _)) => path.to_owned(),
        _ => format!("files/{path}"),
    }
}

/// `text` of the page `from` with the links that hold in the site; `files` takes what they need.
fn moved(
    root: &Path,
    pages: &Pages,
    from: &str,
    text: &str,
    files: &mut BTreeSet<String>,
) -> String {
    let mut out = String::new();
    let mut done = 0;
    for (start, end, target) in targets(text) {
        out.push_str(&text[done..start]);
        done = end;
        let (path, anchor) = target.split_at(target.find('#').unwrap_or(target.len()));
        let aim =
            (!is_elsewhere(target) && !path.is_empty()).then(|| resolve(from, path)).flatten();
        let Some(aim) = aim else {
            out.push_str(target);
            continue;
        };
        let readme = format!("{aim}/README.md");
        let aim = if pages.contains_key(&readme) { readme } else { aim };
        if !pages.contains_key(&aim) && root.join(&aim).is_file() {
            files.insert(aim.clone());
        }
        out.push_str(&relative(&place(from), &place(&aim)));
        out.push_str(anchor);
    }
    out + &text[done..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_what_they_need_lie_together_and_find_each_other() {
        let (root, site) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let put = |path: &str, text: &str| {
            super::put(&root.path().join(path), text.as_bytes()).unwrap();
        };
        put(
            SUMMARY,
            "- [A](a.md)\n- [C](../datasets/c.md)\n- [R](reference/r.md)\n- [M](m/README.md)\n",
        );
        put("docs/a.md", "[c](../datasets/c.md#x) ![p](p.png) [code](../crates/x.rs) [m](m)");
        put("docs/m/README.md", "");
        put("datasets/c.md", "# X\n[a](../docs/a.md)");
        put("docs/p.png", "p");
        put("crates/x.rs", "x");
        let written = Pages::from([("docs/reference/r.md".to_owned(), "[a](../a.md)".to_owned())]);
        let all = pages(root.path(), written.clone()).unwrap();
        write(root.path(), &all, site.path()).unwrap();
        let read = |path: &str| fs::read_to_string(site.path().join(path)).unwrap();
        assert_eq!(
            read("a.md"),
            "[c](datasets/c.md#x) ![p](p.png) [code](files/crates/x.rs) [m](m/README.md)"
        );
        assert_eq!(read("datasets/c.md"), "# X\n[a](../a.md)");
        assert_eq!(read("reference/r.md"), "[a](../a.md)");
        assert_eq!(read("SUMMARY.md").lines().nth(1), Some("- [C](datasets/c.md)"));
        assert_eq!((read("p.png"), read("files/crates/x.rs")), ("p".into(), "x".into()));

        put(SUMMARY, "- [A](a.md)\n");
        let message = pages(root.path(), written).unwrap_err().to_string();
        assert!(message.contains("expected the page docs/reference/r.md"), "{message}");
    }
}
