//! Safetensors files: any bytes give a value or an error.
#![no_main]

use polyptych_formats::file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // No tensor is larger than the file says with its own bytes.
    if let Ok(found) = file::parse("fuzz", bytes) {
        assert!(found.tensors.values().all(|tensor| tensor.numel() <= bytes.len()));
    }
});
