//! Frames of records: length, its checksum, the record, its checksum; all little-endian.
//!
//! Checksums are CRC-32C, masked as in LevelDB: `rotate_right(crc, 15) + 0xa282ead8`.

/// Length and its checksum.
const HEAD: usize = 12;
/// The checksum behind a record.
const TAIL: usize = 4;

/// `payload` in its frame.
pub(super) fn framed(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(HEAD + payload.len() + TAIL);
    frame.extend(length);
    frame.extend(masked(&length).to_le_bytes());
    frame.extend(payload);
    frame.extend(masked(payload).to_le_bytes());
    frame
}

/// The records of a file up to the first that is not whole.
pub(super) fn payloads(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, rest) = bytes.split_at_checked(HEAD)?;
        let (length, checksum) = head.split_at(8);
        let count = u64::from_le_bytes(length.try_into().ok()?);
        let (payload, rest) = rest.split_at_checked(usize::try_from(count).ok()?)?;
        let (tail, rest) = rest.split_at_checked(TAIL)?;
        bytes = rest;
        (is_sum_of(length, checksum) && is_sum_of(payload, tail)).then_some(payload)
    })
}

fn is_sum_of(bytes: &[u8], checksum: &[u8]) -> bool {
    masked(bytes).to_le_bytes() == *checksum
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_tensorflow() {
        // The first record of every file that TensorFlow writes, at wall time 0.
        let frame = framed(b"\x09\0\0\0\0\0\0\0\0\x1a\x0dbrain.Event:2");
        assert_eq!(frame[..12], [24, 0, 0, 0, 0, 0, 0, 0, 163, 127, 75, 34]);
        assert_eq!(frame.len(), 12 + 24 + 4);
    }

    #[test]
    fn records_end_where_a_file_is_cut_or_spoilt() {
        let mut file: Vec<u8> = [&b"one"[..], b"", b"three"].into_iter().flat_map(framed).collect();
        assert_eq!(payloads(&file).collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!(payloads(&file[..file.len() - 1]).count(), 2);
        file[13] ^= 1;
        assert_eq!(payloads(&file).count(), 0);
        assert_eq!(payloads(&[255; 40]).count(), 0);
    }
}
