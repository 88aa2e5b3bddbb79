//! How much of a file is decoded, and how decoders refuse.

/// Images with more pixels are refused before they are decoded.
const MAX_PIXELS: usize = 100_000_000;

/// Files, and compressed parts of files once inflated, may not be larger.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// What a decoder found wrong.
pub(crate) type Decoded<T> = std::result::Result<T, String>;

/// Refuses what memory has no room for, so that the error names the file: an allocation that fails
/// in a decoder ends the process.
pub(crate) fn affordable(bytes: usize) -> Decoded<()> {
    let mut room = Vec::<u8>::new();
    let found = std::hint::black_box(&mut room).try_reserve_exact(bytes);
    found.map_err(|_| format!("expected {bytes} bytes of free memory, found less"))
}

/// Refuses sizes that no image of ours has.
pub(crate) fn bounded(width: usize, height: usize) -> Decoded<()> {
    let pixels = width.checked_mul(height);
    match pixels {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(format!("{width} x {height} pixels, expected 1 to {MAX_PIXELS}")),
    }
}
