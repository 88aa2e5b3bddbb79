//! PEFT's `adapter_config.json`: any bytes give a value or an error.
#![no_main]

use std::path::Path;

use polyptych_adapters::{AdapterConfig, DoraConfig, parse_peft_config};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok((adapter, _)) = parse_peft_config(Path::new("fuzz"), bytes) else { return };
    let (AdapterConfig::Lora(lora) | AdapterConfig::Dora(DoraConfig(lora))) = adapter else {
        panic!("expected LoRA or DoRA, found {adapter:?}");
    };
    lora.validate().expect("what was read is valid");
});
