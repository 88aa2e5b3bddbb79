//! The page of one run or several: one HTML file that asks nothing of the network.
//!
//! Everything that comes from files stands in it escaped, and the page's own policy forbids scripts
//! and requests. Pictures are data within it, curves are SVG in the page's colours.

mod chart;
mod curves;
mod facts;
mod gallery;
mod layers;
mod matrices;
mod overview;
mod parts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub(super) use parts::{Merging, Shown};

const STYLE: &str = include_str!("page/style.css");
/// Nothing is fetched and nothing runs; styles and pictures are within.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// A part of the page; left out where it is empty.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

/// The whole page.
pub(super) fn page(runs: &[Shown]) -> String {
    let sections = [
        ("runs", "What was trained", overview::cards(runs)),
        ("results", "Results", overview::results(runs)),
        ("differences", "Differences of the recipes", overview::differences(runs)),
        ("curves", "Curves", curves::curves(runs)),
        ("classes", "Classes", matrices::classes(runs)),
        ("edges", "Precision and recall", curves::precision_recall(runs)),
        ("errors", "Sizes of errors", curves::errors(runs)),
        ("samples", "Samples", gallery::samples(runs)),
        ("conflict", "Conflict between tasks", matrices::conflict(runs)),
        ("parameters", "Parameters", facts::parameters(runs)),
        ("layers", "Layers of tasks", layers::layers(runs)),
        ("timing", "Time and memory", facts::timing(runs)),
        ("provenance", "Provenance", facts::provenance(runs)),
    ];
    let sections = sections.map(|(id, title, body)| Section { id, title, body });
    let there: Vec<&Section> =
        sections.iter().filter(|section| !section.body.0.is_empty()).collect();
    whole(&title(runs), runs, &there).into_string()
}

fn title(runs: &[Shown]) -> String {
    let names: Vec<&str> = runs.iter().map(|shown| shown.run.name.as_str()).collect();
    names.join(" / ")
}

fn whole(title: &str, runs: &[Shown], sections: &[&Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " - Polyptych" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    h1 { (title) }
                    p.soft { (lead(runs)) }
                    nav aria-label="Sections" { ul {
                        @for section in sections {
                            li { a href={ "#" (section.id) } { (section.title) } }
                        }
                    } }
                }
                main #main {
                    @for section in sections {
                        section aria-labelledby=(section.id) {
                            h2 id=(section.id) { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer { p { "Written by polyptych " (env!("CARGO_PKG_VERSION")) " report." } }
            }
        }
    }
}

fn lead(runs: &[Shown]) -> String {
    match runs {
        [only] => only.run.recipe.description.clone(),
        several => format!("{} runs side by side", several.len()),
    }
}
