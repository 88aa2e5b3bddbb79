//! Links of pages lead somewhere, and the site has every page.

use std::path::Path;

use super::files::File;
use crate::docs;

/// Links that lead nowhere, and pages that the site leaves out.
pub(super) fn check(root: &Path, files: &[File]) -> Vec<String> {
    let ours = |path: &str| {
        path == "README.md" || ["docs/", "datasets/"].iter().any(|f| path.starts_with(f))
    };
    let pages = files.iter().filter(|file| file.path.ends_with(".md") && ours(&file.path));
    let pages: Vec<(&str, &str)> =
        pages.map(|file| (file.path.as_str(), file.text.as_str())).collect();
    let mut breaches = docs::broken(root, &pages);
    breaches.extend(docs::unlisted(&pages));
    breaches
}
