//! The page of a comparison: a generated block, and prose that people write around it.

use anyhow::Result;

use super::job::duration;
use super::made::join;
use super::paired::Paired;
use super::plan::Plan;
use super::spread::{self, Spread};
use super::stage_table::stage_tables;
use super::summary::{ScoreSpread, Summary, tasks, wall};
use super::table::{escaped, table};
use super::tune::{Tuning, section};
use crate::lab::page;

/// What a page tells.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    /// The plan.
    pub(crate) plan: &'a Plan,
    /// Its results.
    pub(crate) rows: &'a [Summary],
    /// How settings of rows were chosen, where they were.
    pub(crate) tuning: Option<&'a Tuning>,
    /// The command that makes the page again.
    pub(crate) command: String,
}

/// The page with a new generated block; text outside of the block of `old` is kept.
///
/// `plots`: endings of the pictures beside it.
pub(crate) fn renew(old: Option<&str>, page: &Page, plots: &[&str]) -> Result<String> {
    let block = page::generated(&page.command, &block(page, plots));
    page::renew(old, &page.plan.name, &block)
}

fn block(page: &Page, plots: &[&str]) -> String {
    let mut parts = Vec::new();
    parts.extend((!page.plan.description.is_empty()).then(|| page.plan.description.clone()));
    parts.push(main_table(page.rows));
    parts.extend(stage_tables(page.rows));
    parts.extend(plots.iter().map(|end| {
        let words = match *end {
            "svg" => "against trainable parameters",
            "ranked.svg" => "as bars, best first",
            _ => "as losses over steps, with one standard deviation over seeds",
        };
        format!("![{0} {words}]({0}.{end})", page.plan.name)
    }));
    parts.push(origins(page));
    parts.extend(other_table(page.rows));
    parts.extend(page.tuning.map(section));
    parts.join("\n\n")
}

/// A line for each row: the headline of each task, delta-m, times.
pub(crate) fn main_table(rows: &[Summary]) -> String {
    let columns = columns(rows);
    let mut lines = vec![Vec::from_iter(columns.iter().map(|column| column.title.clone()))];
    lines.extend(rows.iter().map(|row| columns.iter().map(|c| (c.cell)(row)).collect()));
    table(&lines)
}

struct Column<'a> {
    title: String,
    cell: Box<dyn Fn(&Summary) -> String + 'a>,
}

fn column<'a>(
    title: impl Into<String>,
    cell: impl Fn(&Summary) -> Option<String> + 'a,
) -> Column<'a> {
    let cell = move |row: &Summary| cell(row).unwrap_or_else(|| "–".into());
    Column { title: title.into(), cell: Box::new(cell) }
}

fn columns(rows: &[Summary]) -> Vec<Column<'_>> {
    let millions = |row: &Summary| Some(format!("{:.4}", row.trainable as f64 / 1e6));
    let mut columns = vec![
        column("method", |row| Some(escaped(&row.row.name))),
        column("trainable [M]", millions),
    ];
    columns.extend(tasks(rows).into_iter().map(|task| task_column(rows, task)));
    if tasks(rows).len() > 1 && rows.iter().any(|row| row.mean.is_some()) {
        let unit = rows.iter().flat_map(|row| &row.scores).find(|s| s.headline).map(unit);
        let title = format!("mean{}", unit.unwrap_or_default());
        columns.push(column(title, |row| Some(row.mean?.text(2))));
    }
    if rows.iter().any(|row| row.delta_m.is_some()) {
        columns.push(column("delta-m [%]", |row| Some(row.delta_m?.signed(2))));
    }
    if let Some(paired) = Paired::of(rows) {
        let title = format!("over {} [%]", escaped(&paired.own.row.name));
        columns.push(column(title, move |row| Some(paired.difference(row)?.signed(2))));
    }
    if rows.iter().any(|row| row.step_ratio.is_some()) {
        columns.push(column("step", |row| Some(format!("{:.2} x", row.step_ratio?.mean))));
    }
    if rows.iter().any(|row| row.peak_mib.is_some()) {
        columns.push(column("memory [MiB]", |row| Some(format!("{:.0}", row.peak_mib?.mean))));
    }
    columns.push(column("time [ms]", |row| Some(one_digit(row.adapted_ms?))));
    columns.push(column("merged [ms]", |row| Some(one_digit(row.merged_ms?))));
    if rows.iter().any(|row| row.pruned_ms.is_some()) {
        columns.push(column("pruned [ms]", |row| Some(one_digit(row.pruned_ms?))));
        let left = |row: &Summary| Some(row.multiply_adds?.text(1));
        columns.push(column("multiply-adds left [%]", left));
    }
    columns.push(column("seeds", |row| Some(row.seeds.to_string())));
    if rows.iter().any(|row| row.band.is_some()) {
        columns.push(column("expected", |row| Some(row.band.as_ref()?.to_string())));
    }
    columns
}

fn one_digit(spread: Spread) -> String {
    format!("{:.1}", spread.mean)
}

fn task_column<'a>(rows: &'a [Summary], task: &'a str) -> Column<'a> {
    let headline = rows.iter().find_map(|row| row.headline(task));
    let title = headline.map_or_else(|| task.into(), |score| format!("{task} {}", metric(score)));
    column(title, move |row| Some(row.headline(task)?.spread.text(2)))
}

/// `top1 [%] ↑`.
fn metric(score: &ScoreSpread) -> String {
    format!("{}{} {}", score.name, unit(score), if score.higher_is_better { "↑" } else { "↓" })
}

fn unit(score: &ScoreSpread) -> String {
    if score.unit.is_empty() { String::new() } else { format!(" [{}]", score.unit) }
}

/// Scores that are no headline: one line for each method and score.
fn other_table(rows: &[Summary]) -> Option<String> {
    let tasks = tasks(rows);
    let head = ["method", "score"].into_iter().chain(tasks.iter().copied());
    let mut lines = vec![head.map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let others: Vec<&ScoreSpread> = row.scores.iter().filter(|s| !s.headline).collect();
        let mut names: Vec<String> = Vec::new();
        others.iter().map(|s| metric(s)).for_each(|name| {
            if !names.contains(&name) {
                names.push(name);
            }
        });
        lines.extend(names.into_iter().map(|name| other_line(row, &others, name, &tasks)));
    }
    (lines.len() > 1).then(|| format!("Other scores:\n\n{}", table(&lines)))
}

fn other_line(row: &Summary, others: &[&ScoreSpread], name: String, tasks: &[&str]) -> Vec<String> {
    let cell = |task: &&str| {
        let found = others.iter().find(|score| score.task == **task && metric(score) == name);
        found.map_or_else(|| "–".to_owned(), |score| score.spread.text(2))
    };
    let cells: Vec<String> = tasks.iter().map(cell).collect();
    [escaped(&row.row.name), name.clone()].into_iter().chain(cells).collect()
}

fn origins(page: &Page) -> String {
    let mut lines = vec![
        format!("Made by `{}`.", page.command),
        format!("Values are means over seeds; ± is the {}.", spread::DEFINITION),
    ];
    lines.extend(delta_m(page));
    lines.extend(steps(page.rows));
    lines.extend(times(page.rows));
    lines.extend(refusals(page.rows));
    lines.push(took(page.rows));
    lines.extend(machines(page.rows));
    lines.join("\n")
}

fn took(rows: &[Summary]) -> String {
    let known = rows.iter().filter(|row| row.made.wall_s.is_some()).count();
    let which =
        if known == rows.len() { "All runs".into() } else { format!("Runs of {known} rows") };
    format!("{which} together took {}.", duration(wall(rows)))
}

/// Machine, versions and commits, for each machine that trained some of the rows.
fn machines(rows: &[Summary]) -> Vec<String> {
    let mut machines: Vec<String> = Vec::new();
    join(&mut machines, rows.iter().map(|row| row.made.on.clone()));
    let several = machines.len() > 1;
    let lines = machines.iter().flat_map(|machine| {
        let here: Vec<&Summary> = rows.iter().filter(|row| row.made.on == *machine).collect();
        let mut commits = Vec::new();
        join(&mut commits, here.iter().flat_map(|row| row.made.commits.clone()));
        let names: Vec<&str> = here.iter().map(|row| row.row.name.as_str()).collect();
        let names = several.then(|| format!("\nRows {}:\n", names.join("; ")));
        let trained = format!("Trained at commit {}.", commits.join(", "));
        [names.unwrap_or_default() + machine, trained]
    });
    let mut lines: Vec<String> = lines.collect();
    if several {
        lines
            .insert(0, "Times of rows compare with each other where one machine made them.".into());
    }
    lines
}

fn delta_m(page: &Page) -> Option<String> {
    page.rows.iter().find(|row| row.delta_m.is_some())?;
    let reference = page.plan.rows.iter().find(|row| row.reference);
    let against = match reference {
        Some(row) => format!("{} of the same seed", row.name),
        None => "the recipe's recorded single-task results".into(),
    };
    let paired = Paired::of(page.rows).map_or_else(String::new, |paired| {
        format!(
            "\nOver {} is the difference of both delta-m, seed by seed, which the spread of the \
             reference is not in.",
            paired.own.row.name
        )
    });
    Some(format!(
        "Delta-m is the mean relative change against {against}, positive is better.{paired}"
    ))
}

fn steps(rows: &[Summary]) -> Option<String> {
    let own = rows.iter().find(|row| row.step_ratio.is_some())?;
    Some(format!(
        "Step is the median training step over that of {} with the same seed, memory the most \
         that training held at a time.",
        own.row.name
    ))
}

fn times(rows: &[Summary]) -> Option<String> {
    let images = rows.iter().find_map(|row| row.made.images)?;
    let separate = match rows.iter().any(|row| row.row.separate) {
        true => "; for separate models it is the sum over the models",
        false => "",
    };
    Some(format!(
        "Time is the median of `polyptych time` on {images} images, before and after \
         merging{separate}."
    ))
}

fn refusals(rows: &[Summary]) -> Vec<String> {
    let refused = rows.iter().filter_map(|row| {
        let reason = row.made.merge_refused.as_ref()?;
        Some(format!("{} is not merged: {}.", row.row.name, reason.trim()))
    });
    refused.collect()
}
