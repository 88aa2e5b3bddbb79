//! NumPy's array files, versions 1 to 3
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use half::f16;
use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use super::bounds::Decoded;

/// Longest header that is read; NumPy's own are shorter than 200 bytes.
const MAX_HEADER: usize = 1 << 16;

/// Reads booleans, integers and floats of 1 to 8 bytes, halves among them, of either byte order.
pub(crate) fn array(bytes: &[u8]) -> Decoded<ArrayD<f64>> {
    let (header, data) = split(bytes)?;
    let descr = text(field(header, "descr")?)?;
    let fortran = match field(header, "fortran_order")? {
        rest if rest.starts_with("True") => true,
        rest if rest.starts_with("False") => false,
        _ => return Err("header: fortran_order is neither True nor False".to_owned()),
    };
    let shape = shape(field(header, "shape")?)?;
    let values = values(descr, data)?;
    let expected = shape.iter().try_fold(1_usize, |all, &n| all.checked_mul(n));
    if expected != Some(values.len()) {
        return Err(format!("shape {shape:?} does not fit {} values", values.len()));
    }
    let layout = IxDyn(&shape).set_f(fortran);
    Ok(ArrayD::from_shape_vec(layout, values).expect("the number of values was checked"))
}

/// Header text and data.
fn split(bytes: &[u8]) -> Decoded<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("unknown first bytes")?;
    let (start, length) = match rest {
        [1, _, a, b, ..] => (4, usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, ..] => (6, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        [version, ..] => return Err(format!("version {version}, expected 1 to 3")),
        [] => return Err("no version".to_owned()),
    };
    if length > MAX_HEADER {
        return Err(format!("header of {length} bytes, expected at most {MAX_HEADER}"));
    }
    let header = rest.get(start..start + length).ok_or("the header is cut off")?;
    let header = std::str::from_utf8(header).map_err(|_| "the header is not text")?;
    Ok((header, &rest[start + length..]))
}

/// What follows a key of the header, which is a Python dictionary of literals.
fn field<'a>(header: &'a str, key: &str) -> Decoded<&'a str> {
    let missing = || format!("header: no {key}");
    let place = header.find(&format!("'{key}'")).ok_or_else(missing)?;
    let (_, rest) = header[place..].split_once(':').ok_or_else(missing)?;
    Ok(rest.trim_start())
}

fn text(literal: &str) -> Decoded<&str> {
    let inner = literal.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    inner.map(|(text, _)| text).ok_or_else(|| "header: descr is not a plain type".to_owned())
}

fn shape(literal: &str) -> Decoded<Vec<usize>> {
    let wrong = || "header: shape is not a tuple of sizes".to_owned();
    let inner = literal.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (inner, _) = inner.ok_or_else(wrong)?;
    let sizes = inner.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().map_err(|_| wrong())).collect()
}

fn values(descr: &str, data: &[u8]) -> Decoded<Vec<f64>> {
    let (order, kind) = descr.split_at_checked(1).ok_or("header: empty descr")?;
    let big = order == ">";
    match kind {
        "b1" | "u1" => Ok(data.iter().map(|&v| f64::from(v)).collect()),
        "i1" => numbers(data, big, |[v]| f64::from(v as i8)),
        "u2" => numbers(data, big, |v| f64::from(u16::from_le_bytes(v))),
        "i2" => numbers(data, big, |v| f64::from(i16::from_le_bytes(v))),
        "u4" => numbers(data, big, |v| f64::from(u32::from_le_bytes(v))),
        "i4" => numbers(data, big, |v| f64::from(i32::from_le_bytes(v))),
        "u8" => numbers(data, big, |v| u64::from_le_bytes(v) as f64),
        "i8" => numbers(data, big, |v| i64::from_le_bytes(v) as f64),
        "f2" => numbers(data, big, |v| f16::from_le_bytes(v).to_f64()),
        "f4" => numbers(data, big, |v| f64::from(f32::from_le_bytes(v))),
        "f8" => numbers(data, big, f64::from_le_bytes),
        _ => Err(format!("type {descr}, expected b1, i1 to i8, u1 to u8, f2, f4 or f8")),
    }
}

/// Numbers of `N` bytes; `read` gets them in little-endian order.
pub(crate) fn numbers<const N: usize>(
    data: &[u8],
    big: bool,
    read: impl Fn([u8; N]) -> f64,
) -> Decoded<Vec<f64>> {
    if !data.len().is_multiple_of(N) {
        return Err(format!("{} bytes of data are not whole numbers of {N} bytes", data.len()));
    }
    let number = |bytes: &[u8]| {
        let mut bytes: [u8; N] = bytes.try_into().expect("chunks have N bytes");
        if big {
            bytes.reverse();
        }
        read(bytes)
    };
    Ok(data.chunks_exact(N).map(number).collect())
}
