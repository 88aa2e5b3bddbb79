//! The log on standard error: lines for people, or JSON for programs.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::output::Warnings;

/// Starts the log. `default`: what is logged where the environment does not say it by `RUST_LOG`.
pub(crate) fn start(default: &str, json: bool) {
    let filter = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = EnvFilter::new(if filter.is_empty() { default } else { &filter });
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Warnings)
        .with_ansi(stderr().is_terminal())
        .log_internal_errors(false);
    match json {
        true => log.json().flatten_event(true).init(),
        false => log.init(),
    }
}
