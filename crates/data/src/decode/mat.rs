//! MATLAB's MAT-files, version 5 (MathWorks, "MAT-File Format", the chapter on level 5).
//!
//! Read are numbers, logicals, text, cells and structures, compressed or not, of either byte
//! order. Other classes (sparse, objects, functions) are passed over. Version 7.3 is HDF5 and is
//! refused by name.

mod element;
mod matrix;

use std::borrow::Cow;
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

impl Value {
    /// Its numbers, if it holds some.
    pub(crate) fn numbers(&self) -> Decoded<ArrayD<f64>> {
        match self {
            Self::Numbers(numbers) => numbers.array(),
            other => Err(format!("expected an array of numbers, found {}", other.describe())),
        }
    }

    /// What it is, in MATLAB's words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Numbers(_) => "an array of numbers".to_owned(),
            Self::Text(_) => "text".to_owned(),
            Self::Cell(_) => "a cell array".to_owned(),
            Self::Struct(fields) => {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                format!("a structure with the fields [{}]", names.join(", "))
            }
            Self::Other(5) => "a sparse array: save it as full(..)".to_owned(),
            Self::Other(class) => format!("an array of class {class}"),
        }
    }
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

/// The variable of this name. Others may be of any class.
pub(crate) fn variable(bytes: &[u8], name: &str) -> Decoded<Value> {
    let big = byte_order(bytes)?;
    let all = variables(bytes, big)?;
    if let Some(found) =
        all.iter().find(|variable| matches!(&variable.name, Ok(own) if own == name))
    {
        return value(found.kind, found.data, big);
    }
    if let Some(reason) = all.iter().find_map(|variable| variable.name.clone().err()) {
        return Err(reason);
    }
    Err(format!("no variable {name}, found [{}]", names_of(all).join(", ")))
}

/// The names of all variables.
pub(crate) fn names(bytes: &[u8]) -> Decoded<Vec<String>> {
    variables(bytes, byte_order(bytes)?).map(names_of)
}

fn names_of(all: Vec<Variable<'_>>) -> Vec<String> {
    all.into_iter().filter_map(|variable| variable.name.ok()).collect()
}

/// A variable that is not read yet.
struct Variable<'a> {
    name: Decoded<String>,
    kind: u32,
    data: &'a [u8],
}

fn variables(bytes: &[u8], big: bool) -> Decoded<Vec<Variable<'_>>> {
    let mut elements = Elements::new(&bytes[128..], big);
    let mut found = Vec::new();
    while let Some((kind, data)) = elements.next()? {
        let head = match kind {
            element::COMPRESSED => element::inflate_head(data).map(Cow::Owned),
            element::MATRIX => Ok(Cow::Borrowed(data)),
            _ => continue,
        };
        // Variables of classes that no numbers have may have no such head.
        match head.map(|head| matrix::name(&head, big)) {
            Ok(Some(name)) => found.push(Variable { name: Ok(name), kind, data }),
            Ok(None) => {}
            Err(reason) => found.push(Variable { name: Err(reason), kind, data }),
        }
    }
    Ok(found)
}

/// The value of an element that holds an array.
fn value(kind: u32, data: &[u8], big: bool) -> Decoded<Value> {
    if kind == element::MATRIX {
        return Ok(matrix(data, big, 0)?.1);
    }
    let inflated = element::inflate(data)?;
    match Elements::new(&inflated, big).next()? {
        Some((element::MATRIX, data)) => Ok(matrix(data, big, 0)?.1),
        _ => Err("compressed bytes that are no array".to_owned()),
    }
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
