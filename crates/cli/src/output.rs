//! What goes to standard output: a reader that has seen enough ends the program, quietly.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

/// Prints a line, as `println!` does, but for the panic when nobody reads any more.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

pub(crate) use say;

/// Writes `text` and a line end.
pub(crate) fn line(text: Arguments) {
    if let Err(e) = writeln!(stdout(), "{text}") {
        // `polyptych recipe show NAME | head` is no error.
        if e.kind() == ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("error: standard output: {e}");
        std::process::exit(1);
    }
}
