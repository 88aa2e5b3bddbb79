//! Interrupts: the first asks a run to save and leave, or a server to end, the second ends the
//! program.
//!
//! No thread that computes may run a handler. LibTorch's float32 products (oneDNN's for AVX-512)
//! have their stack pointer in a block of the heap while they work, and the system would write the
//! frame of a handler below it, over what belongs to others. So every thread blocks the signals,
//! and one, which does nothing else, waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::output::note;

/// Exit code of a program that an interrupt ended, as shells count.
pub(crate) const INTERRUPTED: u8 = 130;

/// What an interrupt sets; to be called before any other thread starts.
pub(crate) fn flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let heard = move |_| {
        if asked.load(Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        note!("interrupt: finishing this step; interrupt again to exit without saving");
        asked.store(true, Ordering::Relaxed);
    };
    on_interrupt(heard).context("cannot install the signal handler")?;
    Ok(stop)
}

/// What the system tells a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The terminal is gone; to servers: read what you serve anew.
    HangUp,
    /// End.
    Stop,
}

/// Calls `heard` on a thread of its own at every interrupt; to be called before any other thread
/// starts.
///
/// # Errors
/// A system that gives no thread.
#[cfg(unix)]
pub(crate) fn on_interrupt(heard: impl Fn(Interrupt) + Send + 'static) -> Result<()> {
    use nix::sys::signal::{SigSet, Signal};
    let signals: SigSet = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    // Threads inherit it from the one that starts them.
    signals.thread_block()?;
    let wait = move || {
        while let Ok(signal) = signals.wait() {
            heard(if signal == Signal::SIGHUP { Interrupt::HangUp } else { Interrupt::Stop });
        }
    };
    std::thread::Builder::new().name("interrupts".into()).spawn(wait)?;
    Ok(())
}

/// As on Unix, where the system tells nothing but to end.
///
/// # Errors
/// A system that takes no handler.
#[cfg(not(unix))]
pub(crate) fn on_interrupt(heard: impl Fn(Interrupt) + Send + 'static) -> Result<()> {
    Ok(ctrlc::set_handler(move || heard(Interrupt::Stop))?)
}
