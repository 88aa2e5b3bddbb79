//! What goes to standard output: a reader that has seen enough ends the program, quietly. What goes
//! to standard error may be lost: nobody's leaving there ends a run.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static QUIET: AtomicBool = AtomicBool::new(false);
/// Not even results are wanted.
static SILENT: AtomicBool = AtomicBool::new(false);
static PLAIN: AtomicBool = AtomicBool::new(false);
/// Lines for standard error while a live view has the terminal.
static HELD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Prints a line, as `println!` does, but for the panic when nobody reads any more.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Prints a line to standard error, as `eprintln!` does, but for the panic when nobody reads any
/// more; nothing where `-q` asks for quiet.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::remark(format_args!($($text)*)) };
}

pub(crate) use {note, say};

/// Takes the wishes of the command line.
pub(crate) fn configure(quiet: bool, plain: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
    PLAIN.store(plain, Ordering::Relaxed);
}

/// From now on only errors are wanted: of several processes one speaks.
pub(crate) fn be_silent() {
    QUIET.store(true, Ordering::Relaxed);
    SILENT.store(true, Ordering::Relaxed);
}

/// Whether only results and errors are wanted.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Whether lines are wanted where a view would move.
pub(crate) fn is_plain() -> bool {
    PLAIN.load(Ordering::Relaxed)
}

/// Writes `text` and a line end.
pub(crate) fn line(text: Arguments) {
    if SILENT.load(Ordering::Relaxed) {
        return;
    }
    if let Err(e) = writeln!(stdout(), "{text}") {
        // `polyptych recipe show NAME | head` is no error.
        if e.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        aside(format_args!("error: standard output: {e}"));
        std::process::exit(1);
    }
}

/// Writes `text` to standard error unless quiet is wanted.
pub(crate) fn remark(text: Arguments) {
    if !is_quiet() {
        aside(text);
    }
}

/// Writes `text` and a line end to standard error, where somebody listens; a live view that has
/// the terminal writes it above itself.
pub(crate) fn aside(text: Arguments) {
    match held().as_mut() {
        Some(lines) => lines.extend(text.to_string().lines().map(str::to_owned)),
        // There is no place left to say that this place is gone.
        None => drop(writeln!(stderr(), "{text}")),
    }
}

/// From now on lines for standard error wait for [`held_lines`].
pub(crate) fn hold_lines() {
    held().get_or_insert_default();
}

/// The lines that waited.
pub(crate) fn held_lines() -> Vec<String> {
    held().as_mut().map(std::mem::take).unwrap_or_default()
}

/// Lines wait no more.
pub(crate) fn release_lines() {
    let left = held().take().unwrap_or_default();
    left.iter().for_each(|line| aside(format_args!("{line}")));
}

fn held() -> MutexGuard<'static, Option<Vec<String>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where warnings of the libraries go: each is written as lines of their own.
pub(crate) struct Warnings;

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        aside(format_args!("{}", String::from_utf8_lossy(bytes).trim_end()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_a_view() {
        hold_lines();
        aside(format_args!("one\ntwo"));
        assert!(Warnings.write_all(b"three\n").is_ok());
        assert_eq!(held_lines(), ["one", "two", "three"]);
        assert!(held_lines().is_empty());
        release_lines();
        assert!(held_lines().is_empty());
    }
}
