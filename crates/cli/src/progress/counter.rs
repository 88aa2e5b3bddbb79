//! A bar for work of a known size, on a terminal alone.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Counts batches.
pub(crate) struct Counter(Option<ProgressBar>);

impl Counter {
    /// A bar of `len` batches, unless nobody would see it or wants it.
    pub(crate) fn new(name: &'static str, len: usize) -> Self {
        let wanted = std::io::stderr().is_terminal() && !output::is_quiet() && !output::is_plain();
        Self(wanted.then(|| {
            let style = "{msg} {bar:30} {pos}/{len} eta {eta}";
            let style = ProgressStyle::with_template(style).expect("the template is a constant");
            ProgressBar::new(len as u64).with_style(style).with_message(name)
        }))
    }

    /// So many are done.
    pub(crate) fn set(&self, done: usize) {
        if let Some(bar) = &self.0 {
            bar.set_position(done as u64);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
