//! What goes to standard output: a reader that has seen enough ends the program, quietly. What goes
//! to standard error may be lost: nobody's leaving there ends a run.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Prints a line, as `println!` does, but for the panic when nobody reads any more.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Prints a line to standard error, as `eprintln!` does, but for the panic when nobody reads any more.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::aside(format_args!($($text)*)) };
}

pub(crate) use {note, say};

/// Writes `text` and a line end.
pub(crate) fn line(text: Arguments) {
    if let Err(e) = writeln!(stdout(), "{text}") {
        // `polyptych recipe show NAME | head` is no error.
        if e.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        note!("error: standard output: {e}");
        std::process::exit(1);
    }
}

/// Writes `text` and a line end to standard error, where somebody listens.
pub(crate) fn aside(text: Arguments) {
    // There is no place left to say that this place is gone.
    let _ = writeln!(stderr(), "{text}");
}
