//! Parameters, time and memory, and what the numbers came from.

use maud::{Markup, html};

use super::chart::short;
use super::parts::{Shown, grouped, scrolling};
use crate::report::stored::StoredRun;

/// Groups of parameters, and what merging makes of them.
pub(super) fn parameters(runs: &[Shown]) -> Markup {
    html! {
        @for shown in runs {
            @if let Some(parameters) = &shown.parameters {
                @if runs.len() > 1 { h3 { (shown.run.name) } }
                (scrolling("Parameters by group", html! {
                    table {
                        thead { tr {
                            th.word scope="col" { "Group" } th scope="col" { "Parameters" }
                            th scope="col" { "Train" } th.word scope="col" { "Share that trains" }
                        } }
                        tbody {
                            @for row in parameters.rows.iter().chain([&parameters.total()]) { tr {
                                th scope="row" { (row.group) }
                                td { (grouped(row.total)) } td { (grouped(row.trainable)) }
                                td.bar.word { span.meter style={ "width:" (percent(row.trainable, row.total)) "%" } aria-hidden="true" {} }
                            } }
                        }
                    }
                }))
                (merging(shown))
            }
        }
    }
}

fn percent(part: i64, all: i64) -> String {
    format!("{:.1}", 100.0 * part as f64 / all.max(1) as f64)
}

fn merging(shown: &Shown) -> Markup {
    let Some(merging) = &shown.merging else { return html! {} };
    if let Some(reason) = &merging.refused {
        return html! { p { "The method does not merge: " (reason) } };
    }
    let gone = merging.before - merging.after;
    html! {
        p {
            "Merged, the model stores " (grouped(merging.after)) " numbers instead of "
            (grouped(merging.before)) ": " (grouped(gone)) " of the method's become part of the backbone's"
            @if merging.kept > 0 { ", " (grouped(merging.kept)) " stay beside it, one part per task" }
            "."
        }
    }
}

/// How long steps took, and what the process held.
pub(super) fn timing(runs: &[Shown]) -> Markup {
    let timed: Vec<&StoredRun> = runs
        .iter()
        .map(|shown| &shown.run)
        .filter(|run| !run.points("train/step_ms").is_empty())
        .collect();
    if timed.is_empty() {
        return html! {};
    }
    scrolling(
        "Time and memory",
        html! {
            table {
                thead { tr {
                    th.word scope="col" { "" }
                    @for run in &timed { th scope="col" { (run.name) } }
                } }
                tbody { @for (title, value) in ROWS { tr {
                    th scope="row" { (title) }
                    @for run in &timed { td { (value(run)) } }
                } } }
            }
        },
    )
}

type Row = (&'static str, fn(&StoredRun) -> String);

const ROWS: [Row; 6] = [
    ("steps", |run| grouped(run.points("train/step_ms").len() as i64)),
    ("time of all steps, data included", |run| duration(values(run).iter().sum::<f64>() / 1e3)),
    ("median step [ms]", |run| short(quantile(values(run), 0.5))),
    ("slowest twentieth of steps from [ms]", |run| short(quantile(values(run), 0.95))),
    ("images per second at the median", |run| {
        short(1e3 * run.recipe.data.batch_size as f64 / quantile(values(run), 0.5).max(1e-9))
    }),
    ("most memory [MiB]", |run| {
        let peak = run.points("memory/peak_resident_mib").last();
        peak.map_or_else(|| "-".into(), |point| short(point.1))
    }),
];

fn values(run: &StoredRun) -> Vec<f64> {
    run.points("train/step_ms").iter().map(|point| point.1).collect()
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len().saturating_sub(1) as f64 * share) as usize).copied().unwrap_or(0.0)
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=119 => format!("{seconds:.1} s"),
        120..=7199 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// Commands, versions, data and the whole recipe.
pub(super) fn provenance(runs: &[Shown]) -> Markup {
    html! {
        @for shown in runs {
            @if runs.len() > 1 { h3 { (shown.run.name) } }
            @for call in &shown.run.calls {
                dl {
                    dt { "Command" } dd { code { (call.command) } }
                    dt { "From step" } dd { (call.step) }
                    dt { "Begun" } dd { (utc(call.unix_seconds)) }
                    dt { "Versions" } dd { (call.versions) }
                    dt { "Device" } dd { (call.device) }
                    @if let Some(backend) = &call.backend {
                        dt { "Processes" } dd { (call.world_size) " over " (backend) }
                    }
                    dt { "Data" } dd { (call.data) }
                }
            }
            @if let Some(baselines) = &shown.run.baselines {
                dl { dt { "Baselines" } dd { code { (baselines.command) } ", " (baselines.made_with) } }
            }
            details { summary { "The recipe" } pre tabindex="0" { (shown.run.text) } }
        }
    }
}

/// Seconds since 1970 as `2026-03-01 12:30 UTC` (Howard Hinnant, `civil_from_days`).
fn utc(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_827_640), "2000-02-29 12:34 UTC");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59 UTC");
    }

    #[test]
    fn durations_are_read_at_a_glance() {
        for (seconds, text) in [(4.25, "4.2 s"), (125.0, "2 min 5 s"), (7261.0, "2 h 1 min")] {
            assert_eq!(duration(seconds), text);
        }
    }
}
