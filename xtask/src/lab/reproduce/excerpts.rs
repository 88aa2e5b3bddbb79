//! Tables of results in the pages of methods.
//!
//! `<!-- results: RECIPE -->` and `<!-- /results -->` in `docs/methods` enclose all rows of a
//! comparison, `<!-- results: RECIPE: ROW; ROW -->` some of them, of which the first is the page's
//! own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::markdown::main_table;
use super::stage_table::stage_tables;
use super::summary::Summary;
use crate::lab::page;

const START: &str = "<!-- results: ";
const HEAD_END: &str = " -->";
const END: &str = "<!-- /results -->";

/// Renews the tables of `recipe` in the pages beside the folder `results`, and returns the pages
/// that have changed.
///
/// # Errors
/// Marks without an end, and whatever the file system says.
pub(crate) fn renew(results: &Path, recipe: &str, rows: &[Summary]) -> Result<Vec<PathBuf>> {
    let folder = results.join("../methods");
    let mut changed = Vec::new();
    for path in pages(&folder)? {
        let old = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let new = with_tables(&old, recipe, rows).with_context(|| path.display().to_string())?;
        if new != old {
            page::write(&path, &new)?;
            changed.push(path);
        }
    }
    Ok(changed)
}

fn pages(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let is_page = |path: &PathBuf| path.extension().is_some_and(|end| end == "md");
    let mut pages: Vec<PathBuf> = paths.into_iter().filter(is_page).collect();
    pages.sort();
    Ok(pages)
}

fn with_tables(old: &str, recipe: &str, rows: &[Summary]) -> Result<String> {
    let (mut new, mut rest) = (String::new(), old);
    while let Some(start) = rest.find(START) {
        let place = Place::at(&rest[start..])?;
        new += &rest[..start];
        new += &match place.recipe == recipe {
            true => format!("{}\n\n{}\n\n{END}", place.head, place.block(rows)),
            false => rest[start..start + place.length].to_owned(),
        };
        rest = &rest[start + place.length..];
    }
    Ok(new + rest)
}

/// Where a page has a table.
struct Place<'a> {
    /// The mark in front of it.
    head: &'a str,
    recipe: &'a str,
    /// Names of rows; all where there are none.
    rows: Vec<&'a str>,
    /// Bytes from the first mark to the end of the last.
    length: usize,
}

impl<'a> Place<'a> {
    /// What `text` begins with.
    fn at(text: &'a str) -> Result<Self> {
        let end_of = |mark: &str, from: usize| {
            let found = text[from..]
                .find(mark)
                .with_context(|| format!("expected `{mark}` behind `{START}`, found none"))?;
            Ok::<_, anyhow::Error>(from + found + mark.len())
        };
        let head = end_of(HEAD_END, 0)?;
        let length = end_of(END, head)?;
        let words = &text[START.len()..head - HEAD_END.len()];
        let (recipe, rows) = words.split_once(": ").unwrap_or((words, ""));
        let rows = rows.split("; ").filter(|name| !name.is_empty()).collect();
        Ok(Self { head: &text[..head], recipe, rows, length })
    }

    fn block(&self, rows: &[Summary]) -> String {
        let wanted =
            |row: &&Summary| self.rows.is_empty() || self.rows.contains(&row.row.name.as_str());
        let chosen: Vec<Summary> = rows.iter().filter(wanted).cloned().collect();
        let is_there = |own: &&str| chosen.iter().any(|row| row.row.name == **own);
        if !self.rows.first().is_none_or(is_there) {
            return self.nothing();
        }
        let recipe = self.recipe;
        let origin = format!(
            "From [{recipe}](../results/{recipe}.md), which has the command, the machine and all \
             scores."
        );
        let tables = [Some(main_table(&chosen)), stage_tables(&chosen), Some(origin)];
        tables.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    }

    fn nothing(&self) -> String {
        let rows = self.rows.first().map(|own| format!(" --rows '{own}'")).unwrap_or_default();
        format!("Not measured yet: `cargo xtask reproduce {}{rows}`.", self.recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::recipe;
    use crate::lab::reproduce::plan::Plan;
    use crate::workspace;

    #[test]
    fn tables_of_other_recipes_and_prose_stay() {
        let page = "# A\n\n<!-- results: toy: a; b -->\n\nold\n\n<!-- /results -->\n\nText.\n\
                    <!-- results: other -->\n\nkept\n\n<!-- /results -->\n";
        let new = with_tables(page, "toy", &[]).unwrap();
        let expected = "Not measured yet: `cargo xtask reproduce toy --rows 'a'`.";
        assert_eq!(new, page.replace("old", expected));
        let new = with_tables(page, "other", &[]).unwrap();
        assert!(new.contains("old") && !new.contains("kept"), "{new}");
        let message = with_tables("<!-- results: toy -->", "toy", &[]).unwrap_err().to_string();
        assert!(message.starts_with("expected `<!-- /results -->`"), "{message}");
    }

    /// Every page names recipes and rows that there are.
    #[test]
    fn pages_name_what_there_is() {
        let folder = workspace::root().join("docs/methods");
        let mut places = 0;
        for path in pages(&folder).unwrap() {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut rest = &text[..];
            while let Some(start) = rest.find(START) {
                let place = Place::at(&rest[start..]).unwrap();
                let plan = Plan::open(&recipe::file(place.recipe), Path::new("runs")).unwrap();
                for row in &place.rows {
                    let found = plan.rows.iter().any(|other| other.name == *row);
                    assert!(found, "{}: {} has no row `{row}`", path.display(), place.recipe);
                }
                rest = &rest[start + place.length..];
                places += 1;
            }
        }
        assert!(places > 20, "{places}");
    }
}
