//! PyTorch's files: any bytes give a value or an error.
#![no_main]

use polyptych_formats::pth;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(tensors) = pth::parse("fuzz", bytes) {
        let numbers: usize = tensors.values().map(|tensor| tensor.numel()).sum();
        // The bound on views of one storage.
        assert!(numbers <= 16 * bytes.len());
    }
});
