//! Files that h5py wrote (`tests/hdf5/generate.py`), and files that are spoilt.

use super::*;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hdf5")
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

#[test]
fn numbers_of_any_type_are_what_h5py_wrote() {
    for version in ["earliest", "latest"] {
        let file = bytes(&format!("frame-{version}.hdf5"));
        let half = array(&file, "dataset").unwrap();
        assert_eq!(half.shape(), [4, 6]);
        assert!(half.iter().enumerate().all(|(at, &value)| value == at as f64 / 4.0 - 1.0));
        let big_endian = array(&file, "geometry/normal").unwrap();
        assert_eq!(big_endian.shape(), [4, 6, 3]);
        assert!(big_endian.iter().enumerate().all(|(at, &value)| value == at as f64));
        let signed = array(&file, "geometry/class").unwrap();
        assert!(signed.iter().enumerate().all(|(at, &value)| value == (at % 5) as f64 - 1.0));
    }
}

#[test]
fn axes_of_matlab_stand_the_other_way_round() {
    let images = array(&bytes("nyu.mat"), "images").unwrap();
    assert_eq!(images.shape(), [4, 6, 3, 3]);
    let file = Hdf5::open(&folder().join("nyu.mat")).unwrap().unwrap();
    let row = file.row("images", 2).unwrap();
    assert_eq!(row.shape(), [4, 6, 3]);
    // Channel 1, column 5, row 3 of image 2, as Python has it.
    assert_eq!(row[[3, 5, 1]], f64::from((2 * 3 + 1) * 24 + 5 * 4 + 3));
    assert_eq!(row, images.index_axis(ndarray::Axis(3), 2).into_owned());
    let depth = file.row("depths", 1).unwrap();
    assert_eq!(depth[[3, 5]], f64::from(24 + 23) / 8.0 + 0.5);
    let mut names: Vec<String> =
        file.arrays().unwrap().into_iter().map(|about| about.name).collect();
    names.sort();
    assert_eq!(names, ["accelData", "depths", "images", "labels"]);
}

#[test]
fn what_is_not_there_is_named() {
    let file = bytes("frame-latest.hdf5");
    let message = array(&file, "depth").unwrap_err();
    assert!(message.starts_with("no array depth, found [dataset]"), "{message}");
    let message = array(&file, "words").unwrap_err();
    assert!(message.starts_with("expected numbers, found "), "{message}");
    assert!(array(&file, "geometry").is_err());
    let open = Hdf5::open(&folder().join("nyu.mat")).unwrap().unwrap();
    assert!(open.row("images", 3).is_err());
    assert!(Hdf5::open(Path::new("no/such.h5")).is_err());
    assert!(array(b"no such file", "dataset").is_err());
}

/// h5py writes truth values as an enumeration of bytes.
#[test]
fn truth_values_are_numbers() {
    let file = Hdf5::open(&folder().join("grey.h5")).unwrap().unwrap();
    let names: Vec<(String, bool)> =
        file.arrays().unwrap().into_iter().map(|about| (about.name, about.bytes)).collect();
    assert!(names.contains(&("mask".to_owned(), false)), "{names:?}");
    let mask = file.row("mask", 2).unwrap();
    assert_eq!(mask.shape(), [4, 6]);
    assert!(
        mask.iter()
            .enumerate()
            .all(|(at, &value)| value == f64::from(u8::from((48 + at) % 3 == 0)))
    );
}

/// A piece of 400 million bytes for 64 of them, and a row of 400 million numbers.
#[test]
fn an_hdf5_bomb_is_refused() {
    let file = Hdf5::open(&folder().join("bomb.h5")).unwrap().unwrap();
    let message = file.row("piece", 0).unwrap_err();
    assert!(message.contains("400000000 bytes exceeds the 268435456 byte"), "{message}");
    assert_eq!(MOST_CHUNK, 268_435_456);
    let message = file.row("numbers", 0).unwrap_err();
    assert_eq!(message, "shape [20000, 20000], expected at most 134217728 numbers");
    let whole = array(&bytes("rows.h5"), "images").unwrap_err();
    assert_eq!(whole, "shape [1000000000, 2, 2, 3], expected at most 134217728 numbers");
    let wide = array(&bytes("wide.h5"), "images").unwrap_err();
    assert!(wide.contains("expected at most 134217728 numbers"), "{wide}");
}

/// Every cut and every spoilt byte gives an error or numbers.
#[test]
fn a_file_that_was_cut_or_spoilt_is_refused() {
    for name in ["nyu.mat", "frame-earliest.hdf5", "frame-latest.hdf5"] {
        let whole = bytes(name);
        let names = ["depths", "dataset", "geometry/normal"];
        let read = |bytes: &[u8]| names.map(|name| array(bytes, name).is_ok());
        assert!(read(&whole).contains(&true));
        for length in (0..whole.len()).step_by(whole.len() / 60) {
            read(&whole[..length]);
        }
        for place in (0..whole.len()).step_by(7) {
            let mut spoilt = whole.clone();
            spoilt[place] ^= 0xff;
            read(&spoilt);
        }
    }
}

#[test]
fn every_type_of_number_is_read_in_both_orders() {
    use ByteOrder::{BigEndian, LittleEndian};
    let found = |raw: &[u8], kind: &Datatype| {
        let found = numbers(raw, kind)?;
        Some(found.into_iter().map(|number| number.0).collect::<Vec<_>>())
    };
    for byte_order in [LittleEndian, BigEndian] {
        let fixed = |size, signed| Datatype::FixedPoint { size, signed, byte_order };
        let float = |size| Datatype::FloatingPoint { size, byte_order };
        for (kind, little, expected) in [
            (fixed(1, false), vec![200], 200.0),
            (fixed(2, false), 40_000u16.to_le_bytes().to_vec(), 40_000.0),
            (fixed(4, false), 4_000_000_000u32.to_le_bytes().to_vec(), 4e9),
            (fixed(8, false), (1u64 << 63).to_le_bytes().to_vec(), (1u64 << 63) as f64),
            (fixed(1, true), (-100i8).to_le_bytes().to_vec(), -100.0),
            (fixed(2, true), (-30_000i16).to_le_bytes().to_vec(), -30_000.0),
            (fixed(4, true), i32::MIN.to_le_bytes().to_vec(), f64::from(i32::MIN)),
            (fixed(8, true), (-5i64).to_le_bytes().to_vec(), -5.0),
            (float(2), f16::from_f64(-0.25).to_le_bytes().to_vec(), -0.25),
            (float(4), 1.5f32.to_le_bytes().to_vec(), 1.5),
            (float(8), 1e300f64.to_le_bytes().to_vec(), 1e300),
        ] {
            let mut one = little;
            if byte_order == BigEndian {
                one.reverse();
            }
            let two = [one.clone(), one].concat();
            assert_eq!(found(&two, &kind), Some(vec![expected; 2]), "{kind:?}");
            let named = Datatype::Enum { base: Box::new(kind.clone()), members: Vec::new() };
            let whole = matches!(kind, Datatype::FixedPoint { .. });
            assert_eq!(found(&two, &named).is_some(), whole, "{named:?}");
        }
        for kind in [fixed(3, false), fixed(16, true), float(16)] {
            assert_eq!(found(&[0; 16], &kind), None, "{kind:?}");
        }
    }
}

/// The fuzzer found it: a layout whose sides multiply to more than 64 bits hold.
#[test]
fn sizes_that_overflow_are_no_panic() {
    let found = folder().join("../../../../benches/fuzz/found/hdf5/layout-overflow");
    let bytes = std::fs::read(found).unwrap();
    // Whoever looks for this one sees all that there are.
    let message = array(&bytes, "dataset").unwrap_err();
    assert!(message.starts_with("no array dataset, found ["), "{message}");
    assert!(array(&bytes, "images").is_ok());
}
