//! `memory.md` and `memory.svg`: memory over the steps of long runs.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::flags::Soak;
use super::series::Series;
use crate::lab::machine::Origin;
use crate::lab::page;
use crate::lab::plot::{Area, COLOURS, Painted, TEXT_SIZE, svg};

const SIZE: (u32, u32) = (900, 420);
const FONT: (&str, i32) = ("sans-serif", TEXT_SIZE);
/// Height of a name in the legend, in pixels.
const LEGEND: u32 = 20;
const MIB: f64 = 1024.0 * 1024.0;

/// Writes page and plot and returns their paths.
pub(super) fn write(flags: &Soak, series: &[Series], origin: &Origin) -> Result<Vec<PathBuf>> {
    let (path, plot) = (flags.out.join("memory.md"), flags.out.join("memory.svg"));
    page::write(&plot, &draw(series)?)?;
    let command = command(flags);
    let generated = page::generated(&command, &block(&command, series, origin));
    let old = std::fs::read_to_string(&path).ok();
    page::write(&path, &page::renew(old.as_deref(), "Memory of long runs", &generated)?)?;
    Ok(vec![path, plot])
}

fn block(command: &str, series: &[Series], origin: &Origin) -> String {
    let mut lines = String::from(
        "| method | first evaluation | half of the run | end | growth in the second half |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for one in series {
        let cells = one
            .corners()
            .map(|(step, bytes)| format!("{:.1} MiB (step {step})", bytes as f64 / MIB));
        let growth = one.growth() / 1024.0;
        // Writing to a string does not fail.
        let _ =
            writeln!(lines, "| {} | {} | {growth:.3} KiB a step |", one.name, cells.join(" | "));
    }
    format!(
        "![Resident memory over the steps](memory.svg)\n\n{lines}\n\
         Memory is what the process holds without pages of files (`RssAnon`), \
         read at every evaluation.\n\nMade by `{command}`.\n{}",
        page::origin_line(origin)
    )
}

fn draw(series: &[Series]) -> Result<String> {
    let legend = LEGEND * series.len() as u32 + 16;
    svg((SIZE.0, SIZE.1 + legend), |root| {
        let (names, chart) = root.split_vertically(legend);
        write_names(&names, series)?;
        lines(&chart, series)
    })
}

fn write_names(area: &Area, series: &[Series]) -> Painted {
    for (index, one) in series.iter().enumerate() {
        let y = 20 + (LEGEND as i32) * index as i32;
        let style = COLOURS[index % COLOURS.len()].stroke_width(2);
        area.draw(&PathElement::new(vec![(80, y), (110, y)], style))?;
        let beside = TextStyle::from(FONT.into_font()).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(one.name.clone(), (120, y), beside))?;
    }
    Ok(())
}

fn lines(area: &Area, series: &[Series]) -> Painted {
    let all = || series.iter().flat_map(|one| &one.points);
    let right = all().map(|point| point.0).max().unwrap_or(1) as f64;
    let high = all().map(|point| point.1).max().unwrap_or(1) as f64 / MIB;
    let mut chart = ChartBuilder::on(area)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, 0.0..1.1 * high)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("steps")
        .y_desc("resident memory [MiB]")
        .axis_desc_style(FONT)
        .label_style(FONT)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for (index, one) in series.iter().enumerate() {
        let path = one.points.iter().map(|&(step, bytes)| (step as f64, bytes as f64 / MIB));
        let style = COLOURS[index % COLOURS.len()].stroke_width(2);
        chart.draw_series([PathElement::new(path.collect::<Vec<_>>(), style)])?;
    }
    Ok(())
}

/// The command as one would type it again.
fn command(flags: &Soak) -> String {
    let Soak { recipe, rows, steps, every, sets, jobs, .. } = flags;
    let rows =
        if rows.is_empty() { String::new() } else { format!(" --rows '{}'", rows.join(",")) };
    let sets: String = sets.iter().map(|set| format!(" --set '{set}'")).collect();
    format!("cargo xtask soak {recipe}{rows} --steps {steps} --every {every} --jobs {jobs}{sets}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_and_plot_show_every_method() {
        let series = |name: &str, end: u64| Series {
            name: name.into(),
            points: vec![(10, 1 << 20), (20, 1 << 20), (30, end)],
        };
        let all = [series("LoRA", 1 << 20), series("MTLoRA", (1 << 20) + 10_240)];
        let text = block("make", &all, &Origin::default());
        assert!(text.contains("| LoRA | 1.0 MiB (step 10) | 1.0 MiB (step 20) |"), "{text}");
        assert!(text.contains("| MTLoRA |") && text.contains("| 1.000 KiB a step |"), "{text}");
        let plot = draw(&all).unwrap();
        assert!(plot.contains("MTLoRA") && plot.contains("resident memory [MiB]"));
    }
}
