//! What goes to standard output: a reader that has seen enough ends the program, quietly. What goes
//! to standard error may be lost: nobody's leaving there ends a run.

use std::fmt::Arguments;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

static OUTPUT: Output = Output::new();

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
    OUTPUT.quiet.store(quiet, Ordering::Relaxed);
    OUTPUT.plain.store(plain, Ordering::Relaxed);
}

/// From now on only errors are wanted: of several processes one speaks.
pub(crate) fn be_silent() {
    OUTPUT.quiet.store(true, Ordering::Relaxed);
    OUTPUT.silent.store(true, Ordering::Relaxed);
}

/// From now on lines for standard error go to the end of the file `path` as well, each behind the
/// seconds since then, whatever is wanted on standard error.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn log_to(path: &Path) -> std::io::Result<()> {
    OUTPUT.log_to(path)
}

/// Whether only results and errors are wanted.
pub(crate) fn is_quiet() -> bool {
    OUTPUT.quiet.load(Ordering::Relaxed)
}

/// Whether lines are wanted where a view would move.
pub(crate) fn is_plain() -> bool {
    OUTPUT.plain.load(Ordering::Relaxed)
}

/// Writes `text` and a line end.
pub(crate) fn line(text: Arguments) {
    if OUTPUT.silent.load(Ordering::Relaxed) {
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
    OUTPUT.log(text);
    if !is_quiet() {
        OUTPUT.show(text);
    }
}

/// Writes `text` and a line end to standard error, where somebody listens; a live view that has
/// the terminal writes it above itself.
pub(crate) fn aside(text: Arguments) {
    OUTPUT.aside(text);
}

/// From now on lines for standard error wait for [`held_lines`].
pub(crate) fn hold_lines() {
    OUTPUT.hold_lines();
}

/// The lines that waited.
pub(crate) fn held_lines() -> Vec<String> {
    OUTPUT.held_lines()
}

/// Lines wait no more.
pub(crate) fn release_lines() {
    OUTPUT.release_lines();
}

/// What is wanted of a process's output, and where its lines go. A program has one; tests, which
/// share a process, have their own.
struct Output {
    quiet: AtomicBool,
    /// Not even results are wanted.
    silent: AtomicBool,
    plain: AtomicBool,
    /// Lines for standard error while a live view has the terminal.
    held: Mutex<Option<Vec<String>>>,
    /// The file that lines for standard error go to as well, and since when.
    log: Mutex<Option<(File, Instant)>>,
}

impl Output {
    const fn new() -> Self {
        Self {
            quiet: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            plain: AtomicBool::new(false),
            held: Mutex::new(None),
            log: Mutex::new(None),
        }
    }

    fn log_to(&self, path: &Path) -> std::io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = Some((file, Instant::now()));
        Ok(())
    }

    fn aside(&self, text: Arguments) {
        self.log(text);
        self.show(text);
    }

    fn log(&self, text: Arguments) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, since)) = &mut *log {
            // A log that cannot be written ends no run.
            let _ = writeln!(file, "{:9.3} {text}", since.elapsed().as_secs_f64());
        }
    }

    fn show(&self, text: Arguments) {
        match self.held().as_mut() {
            Some(lines) => lines.extend(text.to_string().lines().map(str::to_owned)),
            // There is no place left to say that this place is gone.
            None => drop(writeln!(stderr(), "{text}")),
        }
    }

    fn hold_lines(&self) {
        self.held().get_or_insert_default();
    }

    fn held_lines(&self) -> Vec<String> {
        self.held().as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn release_lines(&self) {
        let left = self.held().take().unwrap_or_default();
        left.iter().for_each(|line| self.show(format_args!("{line}")));
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    fn lines_go_to_a_file_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rank-1.log");
        let output = Output::new();
        output.log_to(&path).unwrap();
        output.aside(format_args!("step 1"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.trim_start().starts_with("0.0") && text.ends_with(" step 1\n"), "{text}");
    }

    #[test]
    fn lines_wait_for_a_view() {
        let output = Output::new();
        output.hold_lines();
        output.aside(format_args!("one\ntwo"));
        output.aside(format_args!("three"));
        assert_eq!(output.held_lines(), ["one", "two", "three"]);
        assert!(output.held_lines().is_empty());
        output.release_lines();
        assert!(output.held_lines().is_empty());
    }
}
