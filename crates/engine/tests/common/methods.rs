//! Every adapter method, with the fields that it needs.
#![allow(clippy::unwrap_used)]

use super::try_recipe;

/// A ViT and a head that does without a pyramid.
pub(crate) const VIT: [&str; 2] = [
    "backbone.name=\"vit_micro_patch8_128\"",
    "tasks.semseg.head={name=\"segformer\", embed_dim=8, dropout=0.1}",
];

/// The names that a recipe may have as `adapter.method`, of which its parser alone has all.
pub(crate) fn methods() -> Vec<String> {
    let message = try_recipe(&["adapter={method=\"?\"}"]).unwrap_err().to_string();
    let listed = message.split_once("expected one of ").and_then(|(_, l)| l.split_once(", found"));
    let (listed, _) = listed.expect("the parser lists them");
    let names: Vec<String> = listed.split(", ").map(str::to_owned).collect();
    assert!(names.iter().any(|name| name == "mtlora"), "{message}");
    names
}

/// What a method cannot do without, or what makes it draw and remember more.
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

/// The override that chooses `method`.
pub(crate) fn chosen(method: &str) -> String {
    match fields(method) {
        "" => format!("adapter={{method=\"{method}\"}}"),
        fields => format!("adapter={{method=\"{method}\", {fields}}}"),
    }
}
