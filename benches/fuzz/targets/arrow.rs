//! Arrow's streams and files: any bytes give a value or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| polyptych_data::fuzz::arrow(bytes));
