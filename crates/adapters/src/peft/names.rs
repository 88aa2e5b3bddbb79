//! Names in an adapter's file, without what PEFT puts into them.

use std::collections::BTreeSet;

use polyptych_tensor::Tensors;

/// What PEFT puts before every name.
pub(super) const PREFIX: &str = "base_model.model.";
/// Where PEFT keeps what a layer had before its adapter.
const BASE_LAYER: &str = ".base_layer.";
/// Where it keeps what it trains whole, and what that was before.
const TO_SAVE: &str = ".modules_to_save.";
const ORIGINAL: &str = ".original_module.";
/// Names of the parts of an adapter's module, and how many parts a name has behind them.
const PARTS: [&str; 3] = ["lora_A", "lora_B", "lora_magnitude_vector"];

/// `tensors` under the names that modules have without PEFT: `PATH.lora_A.weight`,
/// `PATH.lora_B.weight`, `PATH.lora_B.bias`, `PATH.lora_magnitude_vector`.
///
/// PEFT leaves out the name of the adapter when it saves one; other programs keep it.
///
/// # Errors
/// Several adapters in one file.
pub(super) fn plain(tensors: Tensors) -> Result<Tensors, String> {
    let adapters: BTreeSet<&str> = tensors.keys().filter_map(|name| adapter_of(name)).collect();
    if adapters.len() > 1 {
        let names = adapters.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!("expected one adapter, found several: {names}"));
    }
    let adapter = adapters.first().map(|adapter| (*adapter).to_owned());
    let kept = tensors.into_iter().filter(|(name, _)| !name.contains(ORIGINAL));
    Ok(kept.map(|(name, tensor)| (short(&name, adapter.as_deref()), tensor)).collect())
}

/// The name of the adapter in a name of its part: `mine` in `PATH.lora_A.mine.weight`.
fn adapter_of(name: &str) -> Option<&str> {
    let (_, rest) = PARTS.iter().find_map(|part| name.split_once(&format!(".{part}.")))?;
    match rest.rsplit_once('.') {
        Some((adapter, _)) => Some(adapter),
        // `PATH.lora_magnitude_vector.mine`, as PEFT had it before 0.12.
        None => (name.contains(".lora_magnitude_vector.") && rest != "weight").then_some(rest),
    }
}

fn short(name: &str, adapter: Option<&str>) -> String {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(PREFIX) {
        name = rest;
    }
    let mut name = name.replace(BASE_LAYER, ".");
    if let Some(adapter) = adapter {
        for part in PARTS {
            name = name.replace(&format!(".{part}.{adapter}"), &format!(".{part}"));
        }
        name = name.replace(&format!("{TO_SAVE}{adapter}."), ".");
    }
    let name = name.replace(".modules_to_save.default.", ".").replace(TO_SAVE, ".");
    match name.strip_suffix(".lora_magnitude_vector.weight") {
        Some(module) => format!("{module}.lora_magnitude_vector"),
        None => name,
    }
}

/// Modules, or parts of a fused one, that have factors.
pub(super) fn modules(tensors: &Tensors) -> BTreeSet<String> {
    let factor = |name: &String| {
        let (module, _) = name.split_once(".lora_A.").or_else(|| name.split_once(".lora_B."))?;
        Some(module.to_owned())
    };
    tensors.keys().filter_map(factor).collect()
}
