//! What programs are measured at.

/// One case at one size.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) precision: String,
    pub(super) tasks: usize,
    pub(super) batch: usize,
    pub(super) size: usize,
    pub(super) threads: usize,
    pub(super) device: String,
}

/// `1 thread`, `2 threads`.
pub(super) fn in_threads(count: usize) -> String {
    format!("{count} thread{}", if count == 1 { "" } else { "s" })
}
