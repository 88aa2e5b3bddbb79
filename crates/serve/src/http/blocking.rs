//! Work that computes, away from the threads that talk to clients.

use crate::refusal::Refusal;

/// Does `work` on a thread of its own.
///
/// # Errors
/// As `work`, or its panic.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Refusal::Model(error.to_string())))
}
