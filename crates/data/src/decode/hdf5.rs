//! Numbers of HDF5 files, MATLAB's version 7.3 among them, whose axes stand the other way round.
//!
//! `hdf5-reader` parses the format; nothing is mapped into memory, and no other file is opened,
//! whatever links say.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use half::f16;
use hdf5_reader::storage::{BytesStorage, DynStorage, FileStorage};
use hdf5_reader::{ByteOrder, Dataset, Datatype, H5Type, Hdf5File, OpenOptions};
use hdf5_reader::{SliceInfo, SliceInfoElem};
use ndarray::{ArrayD, IxDyn};

use super::bounds::{Decoded, MAX_BYTES, MOST_NUMBERS, explained};

/// How MATLAB's files begin, in front of what HDF5 begins with.
const MATLAB: &[u8] = b"MATLAB 7.3";
/// Longest piece that a file may be stored in.
const MOST_CHUNK: usize = 256 << 20;
/// Longest description of an array.
const MOST_HEADER: usize = 1 << 20;

/// A file, opened.
#[derive(Debug)]
pub(crate) struct Hdf5 {
    file: Handle,
    /// Bytes of the file.
    length: usize,
    /// Whether axes stand the other way round.
    reversed: bool,
}

/// An array of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) name: String,
    /// As the file has it.
    pub(crate) shape: Vec<u64>,
    /// Whether each number is a byte.
    pub(crate) bytes: bool,
}

struct Handle(Hdf5File);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hdf5File")
    }
}

/// Whether a file begins as MATLAB's version 7.3 does.
pub(crate) fn is_matlab(bytes: &[u8]) -> bool {
    bytes.starts_with(MATLAB)
}

/// Reads the array `name`, `group/name` in a group.
pub(crate) fn array(bytes: &[u8], name: &str) -> Decoded<ArrayD<f64>> {
    let storage = Arc::new(BytesStorage::new(bytes.to_vec()));
    Hdf5::of(storage, is_matlab(bytes))?.array(name)
}

impl Hdf5 {
    /// Opens a file, of which arrays are read when they are asked for.
    pub(crate) fn open(path: &Path) -> std::io::Result<Decoded<Self>> {
        let mut file = File::open(path)?;
        let mut head = [0; MATLAB.len()];
        let read = file.read(&mut head)?;
        let storage = FileStorage::from_file(file).map_err(|error| error.to_string());
        Ok(storage.and_then(|storage| Self::of(Arc::new(storage), is_matlab(&head[..read]))))
    }

    fn of(storage: DynStorage, reversed: bool) -> Decoded<Self> {
        let length = usize::try_from(storage.len()).unwrap_or(usize::MAX);
        let options = OpenOptions::default()
            .with_chunk_cache_bytes(0)
            .with_max_chunk_bytes(MOST_CHUNK)
            .with_max_read_bytes(MAX_BYTES as usize)
            .with_max_object_header_bytes(MOST_HEADER);
        let open = || Hdf5File::from_storage_with_options(storage, options).map_err(said);
        let file = guarded(open)?;
        Ok(Self { file: Handle(file), length, reversed })
    }

    /// The arrays of numbers that stand in no group.
    pub(crate) fn arrays(&self) -> Decoded<Vec<About>> {
        guarded(|| self.arrays_of_root())
    }

    fn arrays_of_root(&self) -> Decoded<Vec<About>> {
        let root = self.file.0.root_group().map_err(said)?;
        let (_, names) = root.member_names().map_err(said)?;
        let about = |name: String| {
            // What is of a type that is not known is no array of numbers.
            let data = root.dataset(&name).ok()?;
            let numeric = Number::width(data.dtype()) > 0;
            let bytes = matches!(data.dtype(), Datatype::FixedPoint { size: 1, signed: false, .. });
            numeric.then(|| About { name, shape: data.shape().to_vec(), bytes })
        };
        Ok(names.into_iter().filter_map(about).collect())
    }

    /// The whole array `name`.
    pub(crate) fn array(&self, name: &str) -> Decoded<ArrayD<f64>> {
        let data = self.dataset(name)?;
        guarded(|| self.read(&data, &SliceInfo::all(data.ndim()), data.shape()))
    }

    /// What stands at place `row` of the first axis of the file's array `name`.
    pub(crate) fn row(&self, name: &str, row: u64) -> Decoded<ArrayD<f64>> {
        let data = self.dataset(name)?;
        let mut part = SliceInfo::all(data.ndim());
        let first = part.selections.first_mut().ok_or("expected an axis of rows, found none")?;
        *first = SliceInfoElem::Index(row);
        guarded(|| self.read(&data, &part, &data.shape()[1..]))
    }

    fn dataset(&self, name: &str) -> Decoded<Dataset> {
        guarded(|| self.file.0.dataset(name).map_err(said)).map_err(|error| {
            let names = self.arrays().unwrap_or_default();
            let names: Vec<String> = names.into_iter().map(|about| about.name).collect();
            format!("no array {name}, found [{}] ({error})", names.join(", "))
        })
    }

    /// Numbers of a part that has this shape.
    fn read(&self, data: &Dataset, part: &SliceInfo, shape: &[u64]) -> Decoded<ArrayD<f64>> {
        let width = Number::width(data.dtype());
        if width == 0 {
            return Err(format!("expected numbers, found {:?}", data.dtype()));
        }
        let count = shape.iter().try_fold(1, |count: u64, &side| count.checked_mul(side));
        let count = count.and_then(|count| usize::try_from(count).ok());
        let many = || format!("shape {shape:?}, expected at most {MOST_NUMBERS} numbers");
        let count = count.filter(|&count| count <= MOST_NUMBERS).ok_or_else(many)?;
        // What was never written is filled, and takes no byte of the file.
        explained(width * count, self.length)?;
        let found = data.read_slice::<Number>(part).map_err(said)?;
        let shape = found.shape().to_vec();
        let numbers = found.into_raw_vec_and_offset().0.into_iter();
        let numbers: Vec<f64> = numbers.map(|number| number.0).collect();
        let array = ArrayD::from_shape_vec(IxDyn(&shape), numbers);
        let array = array.map_err(|error| error.to_string())?;
        Ok(if self.reversed { with_reversed_axes(&array) } else { array })
    }
}

/// `array` with its axes the other way round, in the order of its axes, as whatever reads it goes
/// through it.
fn with_reversed_axes(array: &ArrayD<f64>) -> ArrayD<f64> {
    let view = array.t();
    let mut reversed = ArrayD::zeros(view.raw_dim());
    // Goes by runs of the last axis, where `as_standard_layout` finds each number's place anew.
    reversed.assign(&view);
    reversed
}

/// What `read` gives. The reader multiplies sizes of the file unchecked in places, which panics where
/// a build checks for overflow; elsewhere what comes of it is refused as no part of the file.
fn guarded<T>(read: impl FnOnce() -> Decoded<T>) -> Decoded<T> {
    let damaged = |_| Err("the file is damaged: sizes in it are out of range".into());
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(damaged)
}

fn said(error: hdf5_reader::error::Error) -> String {
    error.to_string()
}

/// A number of any type.
#[derive(Clone, Copy)]
struct Number(f64);

impl Number {
    /// Bytes of a number; 0 where it is none.
    fn width(kind: &Datatype) -> usize {
        match number_of(kind) {
            Datatype::FixedPoint { size: size @ (1 | 2 | 4 | 8), .. }
            | Datatype::FloatingPoint { size: size @ (2 | 4 | 8), .. } => usize::from(*size),
            _ => 0,
        }
    }
}

/// The whole numbers that stand for names, as h5py writes truth values; else the type itself.
fn number_of(kind: &Datatype) -> &Datatype {
    match kind {
        Datatype::Enum { base, .. } if matches!(**base, Datatype::FixedPoint { .. }) => base,
        other => other,
    }
}

impl H5Type for Number {
    fn hdf5_type() -> Datatype {
        f64::hdf5_type()
    }

    fn from_bytes(bytes: &[u8], kind: &Datatype) -> hdf5_reader::error::Result<Self> {
        let one = bytes.get(..Self::width(kind)).and_then(|bytes| numbers(bytes, kind));
        one.and_then(|numbers| numbers.first().copied()).ok_or_else(|| {
            let (expected, actual) = ("a number".to_owned(), format!("{kind:?}"));
            hdf5_reader::error::Error::TypeMismatch { expected, actual }
        })
    }

    fn decode_vec(
        raw: &[u8],
        kind: &Datatype,
        count: usize,
    ) -> Option<hdf5_reader::error::Result<Vec<Self>>> {
        let length = Self::width(kind).checked_mul(count)?;
        numbers(raw.get(..length)?, kind).map(Ok)
    }

    fn element_size(kind: &Datatype) -> usize {
        Self::width(kind)
    }
}

/// All numbers of `raw`; none where the type is none of numbers.
fn numbers(raw: &[u8], kind: &Datatype) -> Option<Vec<Number>> {
    Some(match *number_of(kind) {
        Datatype::FloatingPoint { size, byte_order } => match size {
            2 => each(raw, byte_order, |bytes| f16::from_le_bytes(bytes).to_f64()),
            4 => each(raw, byte_order, |bytes| f32::from_le_bytes(bytes).into()),
            8 => each(raw, byte_order, f64::from_le_bytes),
            _ => return None,
        },
        Datatype::FixedPoint { size, signed: false, byte_order } => match size {
            1 => each(raw, byte_order, |bytes| u8::from_le_bytes(bytes).into()),
            2 => each(raw, byte_order, |bytes| u16::from_le_bytes(bytes).into()),
            4 => each(raw, byte_order, |bytes| u32::from_le_bytes(bytes).into()),
            8 => each(raw, byte_order, |bytes| u64::from_le_bytes(bytes) as f64),
            _ => return None,
        },
        Datatype::FixedPoint { size, signed: true, byte_order } => match size {
            1 => each(raw, byte_order, |bytes| i8::from_le_bytes(bytes).into()),
            2 => each(raw, byte_order, |bytes| i16::from_le_bytes(bytes).into()),
            4 => each(raw, byte_order, |bytes| i32::from_le_bytes(bytes).into()),
            8 => each(raw, byte_order, |bytes| i64::from_le_bytes(bytes) as f64),
            _ => return None,
        },
        _ => return None,
    })
}

/// The type and the order of bytes are looked at once for all numbers.
fn each<const N: usize>(
    raw: &[u8],
    order: ByteOrder,
    number: impl Fn([u8; N]) -> f64,
) -> Vec<Number> {
    let all = raw.as_chunks::<N>().0.iter();
    let turned = |mut bytes: [u8; N]| {
        bytes.reverse();
        Number(number(bytes))
    };
    match order {
        ByteOrder::LittleEndian => all.map(|&bytes| Number(number(bytes))).collect(),
        ByteOrder::BigEndian => all.map(|&bytes| turned(bytes)).collect(),
    }
}

#[cfg(test)]
mod tests;
