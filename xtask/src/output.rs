//! What goes to standard output: a reader that has seen enough is no reason to panic.
//!
//! The macros stand in the place of the standard library's, so that nothing in this package can
//! use those by mistake. The commands go on where nobody reads any more: their exit code tells how
//! the work ended, not whether somebody looked on.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

macro_rules! print {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes `text`; without a reader it is lost.
pub(crate) fn write(text: Arguments) {
    let mut out = stdout().lock();
    if let Err(e) = out.write_fmt(text).and_then(|()| out.flush())
        && e.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output: {e}");
        std::process::exit(1);
    }
}
