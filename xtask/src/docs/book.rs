//! mdBook: a folder of Markdown as a site.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use mdbook_driver::MDBook;

/// Light and dark follow the browser; nothing is asked of another server.
const CONFIG: &str = r#"
[book]
title = "Polyptych"
language = "en"
src = "src"
[build]
build-dir = "site"
create-missing = false
[output.html]
default-theme = "light"
preferred-dark-theme = "navy"
no-section-label = true
input-404 = ""
additional-css = ["site.css"]
[output.html.playground]
runnable = false
[output.html.print]
enable = false
[output.html.fold]
enable = true
level = 0
[output.html.search]
limit-results = 20
"#;

/// Wide tables scroll by themselves with numbers on one line, pictures keep to the page, and cards
/// stand side by side. Links of the dark theme are lighter than mdBook's, whose contrast with the
/// background is below the 4.5 that WCAG asks.
const CSS: &str = "\
.content img { max-width: 100%; height: auto; }\n\
.content table { margin: 0; display: block; overflow-x: auto; width: max-content; max-width: 100%; }\n\
.content td, .content th { padding: 3px 12px; }\n\
.content td[style*=right] { white-space: nowrap; }\n\
.content main { max-width: 85rem; }\n\
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: 1.5rem; }\n\
.card { border: 1px solid var(--table-border-color); border-radius: 8px; padding: 0 1.5rem 1rem; min-width: 0; }\n\
.card h2 { margin-top: 1rem; }\n\
.card thead { display: none; }\n\
.content .card table { display: table; width: 100%; }\n\
.card td { overflow-wrap: anywhere; }\n\
.card td:first-child { width: 35%; overflow-wrap: normal; }\n\
.navy { --links: #6ab3e0; --sidebar-active: #6ab3e0; }\n";

/// Draws `folder/src` as `folder/site`.
pub(super) fn draw(folder: &Path) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    };
    write("book.toml", CONFIG)?;
    write("site.css", CSS)?;
    MDBook::load(folder).and_then(|book| book.build()).context("mdBook")
}
