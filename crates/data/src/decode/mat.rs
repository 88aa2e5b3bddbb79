//! MATLAB's MAT-files, version 5 (MathWorks, "MAT-File Format", the chapter on level 5).
//!
//! Read are numbers, logicals, text, cells and structures, compressed or not, of either byte
//! order. Other classes (sparse, objects, functions) are passed over. Version 7.3 is HDF5 and is
//! refused by name.

mod element;
mod matrix;

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use self::element::Elements;
use self::matrix::matrix;
use super::Decoded;
use super::npy::numbers;

/// A variable or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Numbers or logicals.
    Numbers(Numbers),
    /// Characters.
    Text(String),
    /// Parts in column-major order.
    Cell(Vec<Value>),
    /// Values of each field, one per element in column-major order.
    Struct(BTreeMap<String, Vec<Value>>),
    /// A class that is not read, by its number in the format.
    Other(u8),
}

/// Numbers as stored, turned into an array when they are needed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    shape: Vec<usize>,
    /// Data type by its number in the format.
    kind: u32,
    big: bool,
    bytes: Vec<u8>,
}

impl Numbers {
    /// The numbers in the shape that MATLAB shows. Integers above 2^53 lose their last bits.
    pub(crate) fn array(&self) -> Decoded<ArrayD<f64>> {
        let values = self.values()?;
        let shape = IxDyn(&self.shape).f();
        let count = values.len();
        let misfit = |_| format!("shape {:?} does not fit {count} values", self.shape);
        ArrayD::from_shape_vec(shape, values).map_err(misfit)
    }

    fn values(&self) -> Decoded<Vec<f64>> {
        let (data, big) = (self.bytes.as_slice(), self.big);
        match self.kind {
            1 => numbers(data, big, |[v]| f64::from(v as i8)),
            2 => numbers(data, big, |[v]| f64::from(v)),
            3 => numbers(data, big, |v| f64::from(i16::from_le_bytes(v))),
            4 => numbers(data, big, |v| f64::from(u16::from_le_bytes(v))),
            5 => numbers(data, big, |v| f64::from(i32::from_le_bytes(v))),
            6 => numbers(data, big, |v| f64::from(u32::from_le_bytes(v))),
            7 => numbers(data, big, |v| f64::from(f32::from_le_bytes(v))),
            9 => numbers(data, big, f64::from_le_bytes),
            12 => numbers(data, big, |v| i64::from_le_bytes(v) as f64),
            13 => numbers(data, big, |v| u64::from_le_bytes(v) as f64),
            kind => Err(format!("numbers of unknown type {kind}")),
        }
    }
}

/// The variable of this name.
pub(crate) fn variable(bytes: &[u8], name: &str) -> Decoded<Value> {
    let big = byte_order(bytes)?;
    let mut elements = Elements::new(&bytes[128..], big);
    let mut others = Vec::new();
    while let Some((kind, data)) = elements.next()? {
        let found = match kind {
            element::COMPRESSED => {
                let inflated = element::inflate(data)?;
                match Elements::new(&inflated, big).next()? {
                    Some((element::MATRIX, data)) => Some(matrix(data, big, 0)?),
                    _ => None,
                }
            }
            element::MATRIX => Some(matrix(data, big, 0)?),
            _ => None,
        };
        match found {
            Some((found, value)) if found == name => return Ok(value),
            Some((found, _)) => others.push(found),
            None => {}
        }
    }
    Err(format!("no variable {name}, found [{}]", others.join(", ")))
}

/// Whether numbers start with their highest byte.
fn byte_order(bytes: &[u8]) -> Decoded<bool> {
    let header = bytes.get(..128).ok_or("shorter than a header")?;
    if header.starts_with(b"MATLAB 7.3") || header.starts_with(b"\x89HDF") {
        return Err("version 7.3, which is HDF5: save it with -v7".to_owned());
    }
    match [header[124], header[125], header[126], header[127]] {
        [0, 1, b'I', b'M'] => Ok(false),
        [1, 0, b'M', b'I'] => Ok(true),
        // Level 4 has no text: a file begins with a type of four decimal digits.
        _ if (0..5000)
            .contains(&i32::from_le_bytes([header[0], header[1], header[2], header[3]])) =>
        {
            Err("version 4: save it with -v7".to_owned())
        }
        _ => Err("unknown header".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
