//! The log on standard error: lines for people, or JSON for programs.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::output::Warnings;

/// What is logged, and how.
pub(crate) struct Log {
    /// Directives of `RUST_LOG` where the environment has none.
    pub(crate) level: &'static str,
    /// JSON, one object per line.
    pub(crate) json: bool,
}

/// Starts the log.
pub(crate) fn start(log: &Log) {
    let filter = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = EnvFilter::new(if filter.is_empty() { log.level } else { &filter });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Warnings)
        .with_ansi(stderr().is_terminal())
        .log_internal_errors(false);
    match log.json {
        true => lines.json().flatten_event(true).init(),
        false => lines.init(),
    }
}
