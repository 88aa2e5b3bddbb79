//! The MATLAB reader on files written here, whole and broken.

use std::io::Read;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use ndarray::ArrayD;

use super::*;

/// An element with its tag and padding.
fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// An array of a class with what follows its name.
fn array(class: u32, shape: [u32; 2], name: &str, content: &[u8]) -> Vec<u8> {
    let flags = element(6, &[class.to_le_bytes(), [0; 4]].concat());
    let sizes = element(5, &shape.map(u32::to_le_bytes).concat());
    element(14, &[&flags, &sizes, &element(1, name.as_bytes()), content].concat())
}

fn doubles(shape: [u32; 2], name: &str, values: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    array(6, shape, name, &element(9, &bytes))
}

/// Logical map in the short form of an element where it fits.
fn logicals(shape: [u32; 2], name: &str, values: &[u8]) -> Vec<u8> {
    let content = match values.len() {
        1..=4 => {
            let tag = (2_u32 | (values.len() as u32) << 16).to_le_bytes();
            let mut bytes = [tag.as_slice(), values].concat();
            bytes.resize(8, 0);
            bytes
        }
        _ => element(2, values),
    };
    array(9 | 0x0200, shape, name, &content)
}

fn structure(name: &str, fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut names = vec![0; 16 * fields.len()];
    for (k, (field, _)) in fields.iter().enumerate() {
        names[16 * k..][..field.len()].copy_from_slice(field.as_bytes());
    }
    let values: Vec<u8> = fields.iter().flat_map(|(_, value)| value.clone()).collect();
    let length = element(5, &16_u32.to_le_bytes());
    array(2, [1, 1], name, &[length, element(1, &names), values].concat())
}

fn compressed(mut array: &[u8]) -> Vec<u8> {
    packed(&mut array)
}

fn packed(array: &mut dyn Read) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(array, &mut encoder).unwrap();
    let data = encoder.finish().unwrap();
    [&15_u32.to_le_bytes(), &(data.len() as u32).to_le_bytes(), data.as_slice()].concat()
}

fn file(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend([0, 1, b'I', b'M']);
    bytes.extend(elements.concat());
    bytes
}

/// A file of BSDS500 with one logical map per annotator, in column-major order.
pub(crate) fn ground_truth(shape: [u32; 2], maps: &[&[u8]]) -> Vec<u8> {
    let annotator = |map: &&[u8]| {
        let fields = [
            ("Segmentation", doubles([1, 1], "", &[1.0])),
            ("Boundaries", logicals(shape, "", map)),
        ];
        structure("", &fields)
    };
    let content: Vec<u8> = maps.iter().flat_map(annotator).collect();
    file(&[compressed(&array(1, [1, maps.len() as u32], "groundTruth", &content))])
}

/// A file with one variable of doubles in column-major order.
pub(crate) fn numbers_file(shape: [u32; 2], name: &str, values: &[f64]) -> Vec<u8> {
    file(&[doubles(shape, name, values)])
}

fn array_of(value: &Value) -> ArrayD<f64> {
    match value {
        Value::Numbers(numbers) => numbers.array().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_are_column_major_and_found_by_name() {
    let first = doubles([2, 3], "first", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let bytes = file(&[compressed(&first), logicals([1, 2], "second", &[1, 0])]);
    let found = array_of(&variable(&bytes, "first").unwrap());
    assert_eq!(found, ndarray::array![[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]].into_dyn());
    assert_eq!(
        array_of(&variable(&bytes, "second").unwrap()),
        ndarray::array![[1.0, 0.0]].into_dyn()
    );
    assert_eq!(variable(&bytes, "third").unwrap_err(), "no variable third, found [first, second]");
}

#[test]
fn cells_structures_and_text_nest() {
    let bytes = ground_truth([2, 2], &[&[1, 0, 0, 0], &[0, 0, 0, 1]]);
    let Value::Cell(annotators) = variable(&bytes, "groundTruth").unwrap() else { panic!() };
    let Value::Struct(fields) = &annotators[1] else { panic!() };
    let expected = ndarray::array![[0.0, 0.0], [0.0, 1.0]].into_dyn();
    assert_eq!(array_of(&fields["Boundaries"][0]), expected);
    let text: Vec<u8> = "né".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bytes =
        file(&[array(4, [1, 2], "t", &element(17, &text)), array(5, [1, 1], "sparse", &[])]);
    assert_eq!(variable(&bytes, "t").unwrap(), Value::Text("né".to_owned()));
    assert_eq!(variable(&bytes, "sparse").unwrap(), Value::Other(5));
}

#[test]
fn other_byte_order_and_other_number_types() {
    let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
    bytes.resize(124, b' ');
    bytes.extend([1, 0, b'M', b'I']);
    let mut put = |words: &[u32]| words.iter().for_each(|w| bytes.extend(w.to_be_bytes()));
    put(&[14, 48, 6, 8, 11, 0, 5, 8, 1, 1]);
    // Name in the short form: type 1, one byte; the number: type 4, two bytes.
    put(&[1 << 16 | 1, u32::from(b'v') << 24, 2 << 16 | 4, 258 << 16]);
    assert_eq!(array_of(&variable(&bytes, "v").unwrap()), ndarray::array![[258.0]].into_dyn());
    let single = file(&[array(7, [1, 1], "s", &element(7, &1.5_f32.to_le_bytes()))]);
    assert_eq!(array_of(&variable(&single, "s").unwrap())[[0, 0]], 1.5);
}

#[test]
fn wrong_files_say_why() {
    let message = |bytes: &[u8]| variable(bytes, "x").unwrap_err();
    assert_eq!(message(b"short"), "shorter than a header");
    assert_eq!(message(&[7; 200]), "unknown header");
    let mut hdf = file(&[]);
    hdf[..10].copy_from_slice(b"MATLAB 7.3");
    assert_eq!(message(&hdf), "version 7.3, which is HDF5: save it with -v7");
    assert_eq!(message(&[[0; 20], [9; 20]].concat().repeat(5)), "version 4: save it with -v7");
    let good = file(&[doubles([2, 2], "x", &[1.0; 4])]);
    assert!(message(&good[..good.len() - 8]).contains("is cut off"));
    let mut damaged = file(&[compressed(&doubles([2, 2], "x", &[1.0; 4]))]);
    damaged[140] ^= 0xff;
    assert!(message(&damaged).starts_with("damaged compression"), "{}", message(&damaged));
    let complex = file(&[array(6 | 0x0800, [1, 1], "x", &element(9, &[0; 8]))]);
    assert_eq!(message(&complex), "x: complex numbers");
    let crowded = file(&[array(1, [u32::MAX, 2], "x", &[])]);
    assert!(message(&crowded).contains("parts do not fit 0 bytes"));
    let misfit = variable(&file(&[doubles([3, 3], "x", &[1.0; 4])]), "x").unwrap();
    let Value::Numbers(misfit) = misfit else { panic!() };
    assert_eq!(misfit.array().unwrap_err(), "shape [3, 3] does not fit 4 values");
}

/// What small files inflate to.
#[test]
fn bombs_are_refused() {
    let head = array(9, [1 << 14, 1 << 14], "x", &[]);
    let long = packed(&mut head.as_slice().chain(std::io::repeat(0).take(1 << 28)));
    assert!(long.len() < 2 << 20);
    let message = variable(&file(&[long]), "x").unwrap_err();
    assert_eq!(message, "more than 268435456 bytes once inflated");
    let empty: Vec<u8> = element(14, &[]).repeat(1 << 22);
    let cell = compressed(&array(1, [1, 1 << 22], "x", &empty));
    assert!(cell.len() < 1 << 20);
    let message = variable(&file(&[cell]), "x").unwrap_err();
    assert_eq!(message, "expected at most 4194304 parts within an array, found more");
    let (count, big) = ((1 << 27) + 1, false);
    let wide = value::Numbers { shape: vec![1, count], kind: 2, big, bytes: vec![0; count] };
    let message = wide.array().unwrap_err();
    assert_eq!(message, "shape [1, 134217729], expected at most 134217728 numbers");
}

#[test]
fn deep_nesting_is_refused() {
    let nested =
        (0..40).fold(doubles([1, 1], "", &[1.0]), |inner, _| array(1, [1, 1], "x", &inner));
    let error = variable(&file(&[nested]), "x").unwrap_err();
    assert_eq!(error, "nested deeper than 16 levels");
}

#[test]
fn no_prefix_of_a_file_panics() {
    let bytes = ground_truth([2, 2], &[&[1, 0, 0, 0]]);
    for length in 0..bytes.len() {
        assert!(variable(&bytes[..length], "groundTruth").is_err());
    }
    let plain = file(&[structure("x", &[("a", doubles([1, 1], "", &[1.0]))])]);
    for place in 128..plain.len() {
        for value in [0, 1, 127, 255] {
            let mut bytes = plain.clone();
            bytes[place] = value;
            if let Ok(Value::Numbers(numbers)) = variable(&bytes, "x") {
                let _ = numbers.array();
            }
        }
    }
}
