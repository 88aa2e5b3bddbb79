//! Which layers tasks took for themselves, layer by layer.

use maud::{Markup, html};

use super::parts::{Shown, scrolling};

/// A bar for every layer and task, as long as its share; nothing where methods choose no layers.
pub(super) fn layers(runs: &[Shown]) -> Markup {
    html! {
        @for shown in runs {
            @if let Some(taken) = &shown.taken {
                @if runs.len() > 1 { h3 { (shown.run.name) } }
                (scrolling("Layers by task", html! {
                    table {
                        caption { "What part of a layer a task has for itself, in %" }
                        thead { tr {
                            th.word scope="col" { "Layer" }
                            @for column in &taken.columns { th scope="col" { (column) } th.word scope="col" { "" } }
                        } }
                        tbody {
                            @for (name, shares) in &taken.layers { (row(name, shares)) }
                            (row("mean", &taken.means()))
                        }
                    }
                }))
            }
        }
    }
}

fn row(name: &str, shares: &[f64]) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            @for share in shares {
                td { (format!("{:.1}", 100.0 * share)) }
                td.bar.word { span.meter style={ "width:" (format!("{:.1}", 100.0 * share)) "%" } aria-hidden="true" {} }
            }
        }
    }
}
