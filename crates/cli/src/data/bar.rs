//! A bar on a screen, and what moves it.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar, and what moves it.
pub(crate) fn progress(bar: &ProgressBar) -> impl Fn(&str, usize, usize) + Sync + '_ {
    |split, done, len| {
        bar.set_length(len as u64);
        bar.set_position(done as u64);
        if done == 1 {
            bar.set_message(split.to_owned());
        }
    }
}

pub(crate) fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} eta {eta} {msg}");
    ProgressBar::new(0).with_style(style.expect("the template is a constant"))
}
