//! Texts of any system: UTF-8, or UTF-16 with a byte order mark; marks are no part of a text.

use std::path::Path;

use encoding_rs::UTF_8;

use super::file::{damaged, read};
use crate::Result;

/// Reads a text file.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io), and [`Error::Decode`](crate::Error::Decode) for other
/// encodings, with the line.
pub fn read_text(path: &Path) -> Result<String> {
    decode_text(&read(path)?, path)
}

/// The text that `bytes` hold, which errors call `path`.
pub(crate) fn decode_text(bytes: &[u8], path: &Path) -> Result<String> {
    text(bytes).map_err(|reason| damaged(path, "text", reason))
}

/// The text that `bytes` hold.
pub(crate) fn text(bytes: &[u8]) -> std::result::Result<String, String> {
    let (text, encoding, broken) = UTF_8.decode(bytes);
    match (broken, text.find('\u{fffd}')) {
        (false, _) => Ok(text.into_owned()),
        (true, place) => {
            let line = 1 + text[..place.unwrap_or(0)].matches('\n').count();
            Err(format!("line {line}: expected {}, found other bytes", encoding.name()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_encodings_of_every_system() {
        let wide = |text: &str, order: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(order).collect()
        };
        let known = "é\r\n02\n";
        assert_eq!(text(known.as_bytes()).as_deref(), Ok(known));
        assert_eq!(text(format!("\u{feff}{known}").as_bytes()).as_deref(), Ok(known));
        assert_eq!(text(&wide(known, u16::to_le_bytes)).as_deref(), Ok(known));
        assert_eq!(text(&wide(known, u16::to_be_bytes)).as_deref(), Ok(known));
        assert_eq!(
            text(b"a\ncaf\xe9\n"),
            Err("line 2: expected UTF-8, found other bytes".to_owned())
        );
    }
}
