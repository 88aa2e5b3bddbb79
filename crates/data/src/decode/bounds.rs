//! How much of a file is decoded, and how decoders refuse.

/// Images with more pixels are refused before they are decoded.
const MAX_PIXELS: usize = 100_000_000;

/// Files, and compressed parts of files once inflated, may not be larger.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// Most numbers that a file which packs them becomes: 1 GiB as doubles.
pub(crate) const MOST_NUMBERS: usize = 1 << 27;

/// What any file may become: maps of one value pack well. A fuzzer makes such files most of the time,
/// and would spend all of it on their numbers.
const UNEXPLAINED: usize = if cfg!(fuzzing) { 64 << 10 } else { 64 << 20 };

/// Most bytes that a byte of a larger one becomes: 1032 by zlib, 1376 by PXR24 on top of it, 1330 by
/// LZW.
const MOST_RATIO: usize = if cfg!(fuzzing) { 8 } else { 2048 };

/// What a decoder found wrong.
pub(crate) type Decoded<T> = std::result::Result<T, String>;

/// Refuses what memory has no room for, so that the error names the file: an allocation that fails
/// in a decoder ends the process.
pub(crate) fn affordable(bytes: usize) -> Decoded<()> {
    let mut room = Vec::<u8>::new();
    let found = std::hint::black_box(&mut room).try_reserve_exact(bytes);
    found.map_err(|_| format!("expected {bytes} bytes of free memory, found less"))
}

/// Refuses `made` bytes that the `stored` ones of a file cannot hold, before they are made: headers
/// claim what they like.
pub(crate) fn explained(made: usize, stored: usize) -> Decoded<()> {
    let most = stored.saturating_mul(MOST_RATIO).max(UNEXPLAINED);
    let reason = "the file was cut off, or its header is damaged";
    let wrong = || format!("{made} bytes from {stored}, expected at most {most}: {reason}");
    (made <= most).then_some(()).ok_or_else(wrong)
}

/// Refuses sizes that no image of ours has.
pub(crate) fn bounded(width: usize, height: usize) -> Decoded<()> {
    let pixels = width.checked_mul(height);
    match pixels {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(format!("{width} x {height} pixels, expected 1 to {MAX_PIXELS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::explained;

    #[test]
    fn small_files_make_no_gigabytes() {
        assert_eq!(explained(64 << 20, 0), Ok(()));
        assert_eq!(explained(1 << 30, 1 << 19), Ok(()));
        assert_eq!(
            explained(1 << 30, 378).unwrap_err(),
            "1073741824 bytes from 378, expected at most 67108864: the file was cut off, or its \
             header is damaged"
        );
        assert!(explained(usize::MAX, usize::MAX / 2).is_ok());
    }
}
