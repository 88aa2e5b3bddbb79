//! PEFT's `adapter_config.json`: any bytes give a value or an error.
#![no_main]

use std::sync::OnceLock;

use polyptych_adapters::load_peft;
use tempfile::TempDir;

static FOLDER: OnceLock<TempDir> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = FOLDER.get_or_init(|| TempDir::new().expect("a folder for the file"));
    let path = folder.path().join("adapter_config.json");
    std::fs::write(path, bytes).expect("the folder can be written");
    // There are no factors beside it, so nothing is ever read to the end.
    assert!(load_peft(folder.path()).is_err());
});
