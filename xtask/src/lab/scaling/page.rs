//! The page of what was measured, and what follows from it for more devices.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::measured::{Measured, WARM_UP};
use super::work::{Layout, Work};
use crate::lab::machine::Origin;
use crate::lab::page;

/// Our name in tables.
pub(super) const OURS: &str = "ours";

/// One program at one layout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) work: Work,
    pub(super) program: String,
    pub(super) layout: Layout,
    pub(super) batch: usize,
    pub(super) measured: Measured,
}

/// Devices that a table looks at: their number, what joins them, bytes a second each way of each,
/// and seconds from one to the next.
const CLUSTERS: [(usize, &str, f64, f64); 4] = [
    (8, "one box, 100 GB/s each way", 100e9, 5e-6),
    (8, "one box, PCIe at 20 GB/s", 20e9, 10e-6),
    (64, "200 Gb/s InfiniBand", 25e9, 10e-6),
    (64, "25 Gb/s Ethernet", 3.125e9, 30e-6),
];

/// The largest share of a step that communication is to have.
const SHARE: f64 = 0.03;

/// Adds `rows` to those of `folder` and writes the page anew; its path.
///
/// # Errors
/// Files that cannot be read or written.
pub(super) fn note(folder: &Path, rows: Vec<Row>, command: &str) -> Result<PathBuf> {
    let kept = folder.join("scaling.json");
    let mut all: Vec<Row> = match std::fs::read(&kept) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| kept.display().to_string())?,
        Err(_) => Vec::new(),
    };
    let key = |row: &Row| (row.work, row.layout, row.program.clone());
    all.retain(|old| rows.iter().all(|new| key(new) != key(old)));
    all.extend(rows);
    all.sort_by_key(key);
    page::write(&kept, &(serde_json::to_string_pretty(&all)? + "\n"))?;
    let path = folder.join("scaling.md");
    let old = std::fs::read_to_string(&path).ok();
    let block = page::generated(command, &block(&all, &Origin::read()));
    page::write(&path, &page::renew(old.as_deref(), "Training in two processes", &block)?)?;
    Ok(path)
}

fn block(rows: &[Row], origin: &Origin) -> String {
    let mut text = format!(
        "ViT-S/16 at 224 x 224 in float32, one head of classes, AdamW. A layout is processes x \
         threads of each; processes \"apart\" train a model each and know nothing of each other, \
         so that their efficiency is what the machine itself leaves of two that work at once. The \
         batch is that of all processes together. Times are medians of steps, the first {WARM_UP} \
         left out. Efficiency is the time of one process with one thread, over that of the layout and \
         its number of cores. Communication is what a step spends behind its backward pass until \
         all sums are there, and in all other operations of all processes, waiting for the others \
         included; of DDP it is the median step less that of a step within `no_sync`.\n\n\
         | trains | program | layout | batch | step, ms | images/s | efficiency | communication, ms | \
         share | bytes a step |\n|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let Measured { step_ms, communication_ms, bytes } = row.measured;
        let many = row.layout.ranks > row.layout.models();
        let or_none = |value: String| if many { value } else { "-".into() };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {step_ms:.1} | {:.2} | {} | {} | {} | {} |",
            row.work.title(),
            row.program,
            row.layout,
            row.batch,
            row.batch as f64 / step_ms * 1e3,
            efficiency(row, rows).map_or_else(|| "-".into(), |value| format!("{value:.2}")),
            or_none(format!("{communication_ms:.1}")),
            or_none(format!("{:.1} %", row.measured.share() * 100.0)),
            or_none(bytes.to_string()),
        );
    }
    text + "\n" + &projection(rows) + "\n" + &page::origin_line(origin)
}

fn efficiency(row: &Row, rows: &[Row]) -> Option<f64> {
    let one = Layout { ranks: 1, threads: 1, joined: true };
    let alone = rows.iter().find(|other| {
        (other.work, &other.program, other.layout) == (row.work, &row.program, one)
    })?;
    Some(alone.measured.step_ms / row.measured.step_ms / row.layout.cores() as f64)
}

/// What a ring of `devices` takes for a sum of `bytes`: each sends `2 (n - 1) / n` of them in
/// `2 (n - 1)` parts.
fn ring_seconds(bytes: u64, devices: usize, bandwidth: f64, latency: f64) -> f64 {
    let hops = 2.0 * (devices as f64 - 1.0);
    hops / devices as f64 * bytes as f64 / bandwidth + hops * latency
}

fn projection(rows: &[Row]) -> String {
    let mut text = format!(
        "## More devices, on paper\n\n\
         Not measured: a ring of `n` devices sends `2 (n - 1) / n` of the measured bytes from each, \
         in `2 (n - 1)` parts; its time is that over the bandwidth, and the latency of each part. A \
         step that takes less than the last column has more than {:.0} % of communication, if \
         nothing of it overlaps with the backward pass: there it stops scaling.\n\n\
         | trains | devices | joined by | sent by each, bytes | ring, ms | shortest step, ms |\n\
         |---|---:|---|---:|---:|---:|\n",
        SHARE * 100.0
    );
    let many = |layout: Layout| layout.ranks > layout.models();
    let ours = rows.iter().filter(|row| many(row.layout) && row.program == OURS);
    for row in ours {
        for (devices, joined, bandwidth, latency) in CLUSTERS {
            let bytes = row.measured.bytes;
            let sent = 2 * (devices as u64 - 1) * bytes / devices as u64;
            let ring = ring_seconds(bytes, devices, bandwidth, latency) * 1e3;
            let _ = writeln!(
                text,
                "| {} | {devices} | {joined} | {sent} | {ring:.2} | {:.0} |",
                row.work.title(),
                ring / SHARE
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ranks: usize, step_ms: f64) -> Row {
        let measured = Measured { step_ms, communication_ms: 1.0, bytes: 8_000_000 };
        let (work, program, batch) = (Work::Lora, OURS.to_owned(), 8);
        Row { work, program, layout: Layout { ranks, threads: 1, joined: true }, batch, measured }
    }

    #[test]
    fn the_page_has_efficiency_share_and_rings() {
        let rows = [row(1, 100.0), row(2, 62.5)];
        let text = block(&rows, &Origin::default());
        let line =
            "| LoRA r = 16 | ours | 2 x 1 | 8 | 62.5 | 128.00 | 0.80 | 1.0 | 1.6 % | 8000000 |";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("| 1 x 1 | 8 | 100.0 | 80.00 | 1.00 | - | - | - |"), "{text}");
        // 14 MB at 100 GB/s, and 14 times 5 us.
        assert!(
            text.contains("| 8 | one box, 100 GB/s each way | 14000000 | 0.21 | 7 |"),
            "{text}"
        );
    }

    #[test]
    fn rows_of_an_earlier_call_stay() {
        let folder = tempfile::tempdir().unwrap();
        note(folder.path(), vec![row(1, 100.0)], "make").unwrap();
        let path = note(folder.path(), vec![row(2, 50.0)], "make").unwrap();
        note(folder.path(), vec![row(2, 40.0)], "make").unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("| 100.0 |") && text.contains("| 40.0 |"), "{text}");
        assert!(!text.contains("| 50.0 |"), "{text}");
    }
}
