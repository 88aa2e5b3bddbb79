//! PEFT's `adapter_config.json`: any bytes give a value or an error.
#![no_main]

use std::path::Path;

use polyptych_adapters::PeftConfig;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = PeftConfig::parse(Path::new("fuzz"), bytes) {
        let _ = config.use_dora();
    }
});
