//! HDF5 files: any bytes give rows of arrays or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| polyptych_data::fuzz::hdf5(bytes));
