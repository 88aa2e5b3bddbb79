//! LibTorch's generator is the process's: tests that draw take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps other tests from drawing until it is dropped, with the generator seeded: what a test draws
/// is the same in every run.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static DRAWING: Mutex<()> = Mutex::new(());
    let guard = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    polyptych_tensor::manual_seed(0);
    guard
}
