//! The site that mdBook has drawn: every link leads to a file and an anchor, and no page asks
//! another server for anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::links::is_elsewhere;
use super::markdown::resolve;
use crate::workspace::below;

/// Links of the pages below `site` that lead nowhere, and what they would fetch from elsewhere.
pub(super) fn broken(site: &Path) -> Result<Vec<String>> {
    let pages = pages(site)?;
    let mut broken = Vec::new();
    for (path, text) in &pages {
        for (tag, target) in attributes(text) {
            if is_elsewhere(target) {
                if tag != "a" {
                    broken.push(format!("{path}: <{tag}> asks {target}"));
                }
            } else if let Some(reason) = wrong(site, &pages, path, target) {
                broken.push(format!("{path}: link `{target}`: {reason}"));
            }
        }
    }
    Ok(broken)
}

/// Pages of the book by their path; files that were copied, such as reports, are not ours to check.
fn pages(site: &Path) -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    let mut pending = vec![site.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for item in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = item?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|ext| ext == "html") {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                if text.contains("<!-- Book generated using mdBook -->") {
                    pages.insert(below(site, &path), text);
                }
            }
        }
    }
    Ok(pages)
}

/// Tag and value of every `href` and `src`.
fn attributes(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('<').skip(1).filter_map(|element| {
        let element = element.split('>').next()?;
        let tag = element.split_whitespace().next()?;
        let value = |name: &str| element.split_once(name)?.1.split('"').next();
        Some((tag, value(" href=\"").or_else(|| value(" src=\""))?))
    })
}

fn wrong(
    site: &Path,
    pages: &BTreeMap<String, String>,
    from: &str,
    target: &str,
) -> Option<&'static str> {
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { Some(from.to_owned()) } else { resolve(from, path) };
    let Some(path) = path else { return Some("leaves the site") };
    if !site.join(&path).is_file() {
        return Some("no such file");
    }
    let page = pages.get(&path);
    let known = page.is_none_or(|text| text.contains(&format!("id=\"{anchor}\"")));
    (!anchor.is_empty() && !known).then_some("no such anchor")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_and_requests_are_named() {
        let site = tempfile::tempdir().unwrap();
        let mark = "<!-- Book generated using mdBook -->";
        let page = "<a href=\"b.html#x\">b</a><a href=\"https://x.y\">w</a><img src=\"p.png\">";
        fs::write(site.path().join("a.html"), format!("{mark}{page}")).unwrap();
        fs::write(site.path().join("b.html"), format!("{mark}<h1 id=\"x\">")).unwrap();
        fs::write(site.path().join("p.png"), "").unwrap();
        assert_eq!(broken(site.path()).unwrap(), [] as [&str; 0]);
        let page = "<a href=\"c.html\"><a href=\"b.html#y\"><script src=\"https://x.y/z.js\">";
        fs::write(site.path().join("a.html"), format!("{mark}{page}")).unwrap();
        assert_eq!(
            broken(site.path()).unwrap(),
            [
                "a.html: link `c.html`: no such file",
                "a.html: link `b.html#y`: no such anchor",
                "a.html: <script> asks https://x.y/z.js",
            ]
        );
    }
}
