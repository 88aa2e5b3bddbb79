//! Arrays as NumPy's files.

/// A file of version 1 whose numbers, of the type `kind` (`<f4`), are `bytes`, row by row.
pub(crate) fn npy(kind: &str, shape: &[usize], bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    if sides.len() == 1 {
        // A tuple of one has a comma.
        sides.push(String::new());
    }
    let sides = sides.join(", ");
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sides}), }}");
    // Magic, version and length take 10 bytes; NumPy aligns data to 64.
    while !(10 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap_or(u16::MAX);
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend(length.to_le_bytes());
    file.extend(header.into_bytes());
    file.extend(bytes);
    file
}
