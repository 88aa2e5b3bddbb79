//! HDF5 files of one array.

use hdf5_writer::{DatasetBuilder, Hdf5Builder};

/// The numbers of an array.
pub(super) enum Numbers {
    Shorts(Vec<i16>),
    Floats(Vec<f32>),
}

/// A file with the array `name`.
pub(super) fn file(name: &str, shape: &[usize], numbers: Numbers) -> Vec<u8> {
    const WHY: &str = "as many numbers as the shape says go to memory";
    let shape: Vec<u64> = shape.iter().map(|&side| side as u64).collect();
    let array = match &numbers {
        Numbers::Shorts(numbers) => DatasetBuilder::typed_data(name, shape, numbers),
        Numbers::Floats(numbers) => DatasetBuilder::typed_data(name, shape, numbers),
    };
    let plan = Hdf5Builder::new().dataset(array.expect(WHY)).into_plan().expect(WHY);
    plan.encode(hdf5_writer::WriteOptions::default()).expect(WHY)
}
