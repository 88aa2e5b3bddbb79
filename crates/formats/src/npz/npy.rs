//! One array: NumPy's `.npy`, versions 1 to 3.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::io::Read;

use polyptych_tensor::{Device, Kind, TchError, Tensor};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header that is read; version 1 can have no longer one.
const MAX_HEADER: u64 = 65_535;

/// What is wrong with an array.
type Result<T> = std::result::Result<T, String>;

struct Header {
    kind: Kind,
    shape: Vec<i64>,
    fortran_order: bool,
}

/// Reads an array of which header and data are `size` bytes long together.
pub(super) fn read(content: &mut impl Read, size: u64) -> Result<Tensor> {
    let (header, read) = read_header(content)?;
    let data = header.data_bytes().ok_or("more bytes than can be addressed")?;
    let expected = read.checked_add(data).ok_or("more bytes than can be addressed")?;
    if expected != size {
        return Err(format!("expected {expected} bytes, found {size}"));
    }
    // One byte more than there should be, so that the end is met and the checksum compared.
    let mut bytes = Vec::new();
    content.take(data + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 != data {
        return Err(format!("expected {data} bytes of data, found {}", bytes.len()));
    }
    header.tensor(&bytes).map_err(|e| e.to_string())
}

/// The header, and how many bytes it took.
fn read_header(content: &mut impl Read) -> Result<(Header, u64)> {
    let [magic @ .., major, _minor] = exactly::<8>(content)?;
    if &magic != MAGIC || !(1..=3).contains(&major) {
        return Err("not in NumPy's format".into());
    }
    let (length, start) = match major {
        1 => (u64::from(u16::from_le_bytes(exactly(content)?)), 10),
        _ => (u64::from(u32::from_le_bytes(exactly(content)?)), 12),
    };
    if length > MAX_HEADER {
        return Err(format!("a header of {length} bytes"));
    }
    let mut text = String::new();
    content.take(length).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 != length {
        return Err("shorter than its header".into());
    }
    Ok((Header::parse(&text)?, start + length))
}

fn exactly<const N: usize>(content: &mut impl Read) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    content.read_exact(&mut bytes).map_err(|_| "shorter than its header".to_owned())?;
    Ok(bytes)
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`
    fn parse(text: &str) -> Result<Self> {
        let descr = field(text, "descr")?;
        let descr = descr.split_once(", '").map_or(descr, |(own, _)| own);
        let descr = descr.trim_matches([' ', '\'', '"', ',', '}', '\n']);
        let kind = kind_of(descr).ok_or_else(|| format!("type `{descr}` is not supported"))?;
        let fortran_order = field(text, "fortran_order")?.starts_with("True");
        let shape = field(text, "shape")?;
        let shape = &shape[..shape.find(')').map_or(shape.len(), |end| end + 1)];
        let extents = shape_of(shape).ok_or_else(|| format!("shape `{shape}` cannot be read"))?;
        Ok(Self { kind, shape: extents, fortran_order })
    }

    fn data_bytes(&self) -> Option<u64> {
        let count: i64 = self.shape.iter().product();
        (count as u64).checked_mul(self.kind.elt_size_in_bytes() as u64)
    }

    fn tensor(&self, bytes: &[u8]) -> std::result::Result<Tensor, TchError> {
        if bytes.is_empty() {
            return Tensor::f_zeros(&self.shape, (self.kind, Device::Cpu));
        }
        let flat = Tensor::f_from_slice(bytes)?.f_view_dtype(self.kind)?;
        if !self.fortran_order {
            return flat.f_view(self.shape.as_slice());
        }
        let reversed: Vec<i64> = self.shape.iter().rev().copied().collect();
        let axes: Vec<i64> = (0..self.shape.len() as i64).rev().collect();
        flat.f_view(reversed.as_slice())?.f_permute(&axes)?.f_contiguous()
    }
}

/// What follows the key `key`.
fn field<'a>(text: &'a str, key: &str) -> Result<&'a str> {
    let found = text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    found.ok_or_else(|| format!("a header without `{key}`"))
}

/// `(2, 3)`, `(2,)` or `()`; `None` too where the product exceeds 63 bits.
fn shape_of(text: &str) -> Option<Vec<i64>> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    let extents = inside.split(',').map(str::trim).filter(|extent| !extent.is_empty());
    let shape = extents.map(|extent| extent.parse().ok()).collect::<Option<Vec<i64>>>()?;
    let checked = shape.iter().try_fold(1i64, |product, extent| product.checked_mul(*extent));
    (checked.is_some() && shape.iter().all(|&extent| extent >= 0)).then_some(shape)
}

fn kind_of(descr: &str) -> Option<Kind> {
    Some(match descr {
        "<f2" => Kind::Half,
        "<f4" => Kind::Float,
        "<f8" => Kind::Double,
        "<i4" => Kind::Int,
        "<i8" => Kind::Int64,
        "|u1" => Kind::Uint8,
        _ => return None,
    })
}
