//! What was timed at sizes that grow, as the rows of a table.

use std::fmt::Write;

use polyptych_benches::{Quartiles, interleaved};

/// A table with a column for each size.
pub(crate) struct Table {
    text: String,
    rounds: usize,
}

impl Table {
    pub(crate) fn new(unit: &str, sizes: [usize; 3], rounds: usize) -> Self {
        let [small, middle, large] = sizes;
        let text = format!(
            "| {unit} | {small} | {middle} | growth | {large} | growth |\n|---|---|---|---|---|---|\n"
        );
        Self { text, rounds }
    }

    /// Times `works`, one for each size, by turns.
    pub(crate) fn row(&mut self, what: &str, works: [&dyn Fn(); 3]) {
        let rounds = interleaved(&works, self.rounds);
        let seconds = [0, 1, 2].map(|size| shown(rounds.wall_s(size)));
        let growth = [1, 2].map(|size| {
            let ratio = rounds.ratios(size, size - 1).0;
            format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.low, ratio.high)
        });
        let ([small, middle, large], [first, second]) = (seconds, growth);
        writeln!(self.text, "| {what} | {small} | {middle} | {first} | {large} | {second} |")
            .expect("text grows");
    }

    pub(crate) fn text(self) -> String {
        self.text
    }
}

/// Median and quartiles of seconds.
pub(crate) fn shown(seconds: Quartiles) -> String {
    let Quartiles { low, median, high } = seconds;
    format!("{median:.4} ({low:.4} to {high:.4})")
}
