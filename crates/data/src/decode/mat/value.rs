//! Variables of a MAT-file, and parts of them.

use std::collections::BTreeMap;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use crate::decode::bounds::{Decoded, MOST_NUMBERS};
use crate::decode::npy::numbers;

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
    pub(super) shape: Vec<usize>,
    /// Data type by its number in the format.
    pub(super) kind: u32,
    pub(super) big: bool,
    pub(super) bytes: Vec<u8>,
}

impl Numbers {
    /// The numbers in the shape that MATLAB shows. Integers above 2^53 lose their last bits.
    pub(crate) fn array(&self) -> Decoded<ArrayD<f64>> {
        let count = self.bytes.len() / self.width()?;
        let product = self.shape.iter().try_fold(1_usize, |all, &side| all.checked_mul(side));
        if product != Some(count) {
            return Err(format!("shape {:?} does not fit {count} values", self.shape));
        }
        if count > MOST_NUMBERS {
            let most = format!("expected at most {MOST_NUMBERS} numbers");
            return Err(format!("shape {:?}, {most}", self.shape));
        }
        let shape = IxDyn(&self.shape).f();
        ArrayD::from_shape_vec(shape, self.values()?).map_err(|error| error.to_string())
    }

    /// Bytes of a number.
    fn width(&self) -> Decoded<usize> {
        match self.kind {
            1 | 2 => Ok(1),
            3 | 4 => Ok(2),
            5..=7 => Ok(4),
            9 | 12 | 13 => Ok(8),
            kind => Err(format!("numbers of unknown type {kind}")),
        }
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
