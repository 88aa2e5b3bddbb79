//! Every adapter method, with the fields that it needs.
#![allow(clippy::unwrap_used)]

use polyptych_adapters::AdapterConfig;

/// A ViT and a head that does without a pyramid.
pub(crate) const VIT: [&str; 2] = [
    "backbone.name=\"vit_micro_patch8_128\"",
    "tasks.semseg.head={name=\"segformer\", embed_dim=8, dropout=0.1}",
];

/// The names of all registered methods.
pub(crate) fn methods() -> Vec<String> {
    AdapterConfig::names().into_iter().map(str::to_owned).collect()
}

/// Whether a ViT has no place for a method: no relative position tables, no windows.
pub(crate) fn on_swin_alone(method: &str) -> bool {
    ["relative_bias", "tadformer"].contains(&method)
}

/// What makes a method draw and remember more than at its example.
fn fields(method: &str) -> &'static str {
    match method {
        "lora" => "r=2, lora_dropout=0.1, target_modules=[\"q\", \"v\", \"fc1\"]",
        "dora" => "r=2, lora_alpha=4, lora_dropout=0.1, target_modules=[\"qkv\"]",
        "mtlora" => "r=2, shared_mode=\"matrixv2\", learnable_scale=true, lora_dropout=0.1",
        "polyhistor" => "embedding_dim=8, rank=4",
        "hyperformer" => "embedding_dim=4, hidden_dim=8",
        "vmt_adapter" => "bottleneck={fixed=4}",
        "vpt" => "num_tokens=5, deep=true",
        _ => "",
    }
}

/// The override that chooses `method`, at its example unless the table above has more.
pub(crate) fn chosen(method: &str) -> String {
    match fields(method) {
        "" => {
            let all = AdapterConfig::examples();
            let example = all.iter().find(|example| example.name() == method).unwrap();
            format!("adapter={}", toml::Value::try_from(example).unwrap())
        }
        fields => format!("adapter={{method=\"{method}\", {fields}}}"),
    }
}
