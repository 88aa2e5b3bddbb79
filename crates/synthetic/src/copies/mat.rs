//! MATLAB v5 files: numbers, text and arrays of structures, compressed.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use ndarray::Array2;

/// Bytes that every name of a field takes, its end among them.
const NAME: usize = 32;

/// A value to write.
pub(super) enum Value {
    /// One double.
    Number(f64),
    /// Bytes, `uint8`.
    Bytes(Array2<u8>),
    /// Words, `uint16`.
    Words(Array2<u16>),
    /// Characters.
    Text(String),
    /// `[1, n]` structures with these fields; an empty array of numbers where there is none.
    Structs(Vec<Vec<(&'static str, Value)>>),
}

/// A file with one variable.
pub(super) fn file(name: &str, value: &Value) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec();
    bytes.resize(124, b' ');
    bytes.extend([0, 1, b'I', b'M']);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = encoder.write_all(&value.array(name)).and_then(|()| encoder.finish());
    let packed = packed.expect("memory takes everything");
    bytes.extend([15_u32, packed.len() as u32].map(u32::to_le_bytes).concat());
    bytes.extend(packed);
    bytes
}

impl Value {
    fn array(&self, name: &str) -> Vec<u8> {
        let columns = |bytes: Vec<u8>, kind: u32| element(kind, &bytes);
        match self {
            Self::Number(value) => {
                array(6, [1, 1], name, &columns(value.to_le_bytes().to_vec(), 9))
            }
            Self::Bytes(map) => {
                array(9, shape(map), name, &columns(map.t().iter().copied().collect(), 2))
            }
            Self::Words(map) => {
                let words = map.t().iter().flat_map(|value| value.to_le_bytes()).collect();
                array(11, shape(map), name, &columns(words, 4))
            }
            Self::Text(text) => {
                let units: Vec<u16> = text.encode_utf16().collect();
                let bytes = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
                array(4, [1, units.len()], name, &columns(bytes, 4))
            }
            Self::Structs(all) => structs(all, name),
        }
    }
}

fn shape<T>(map: &Array2<T>) -> [usize; 2] {
    [map.nrows(), map.ncols()]
}

fn structs(all: &[Vec<(&'static str, Value)>], name: &str) -> Vec<u8> {
    let Some(first) = all.first() else {
        return array(6, [0, 0], name, &element(9, &[]));
    };
    let mut names = vec![0; NAME * first.len()];
    for (slot, (field, _)) in names.chunks_exact_mut(NAME).zip(first) {
        slot[..field.len()].copy_from_slice(field.as_bytes());
    }
    let length = element(5, &(NAME as u32).to_le_bytes());
    let values = all.iter().flatten().flat_map(|(_, value)| value.array(""));
    let content = [length, element(1, &names), values.collect()].concat();
    array(2, [1, all.len()], name, &content)
}

/// An array of a class with what follows its name.
fn array(class: u32, shape: [usize; 2], name: &str, content: &[u8]) -> Vec<u8> {
    let flags = element(6, &[class, 0].map(u32::to_le_bytes).concat());
    let sizes = element(5, &shape.map(|size| (size as u32).to_le_bytes()).concat());
    element(14, &[&flags, &sizes, &element(1, name.as_bytes()), content].concat())
}

/// Type, length and data, filled up to eight bytes.
fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind, data.len() as u32].map(u32::to_le_bytes).concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}
