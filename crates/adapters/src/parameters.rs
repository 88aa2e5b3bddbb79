//! How the parameters of the methods are known from those of the backbones: by their names.

use polyptych_tensor::matches;

use crate::methods::AdapterConfig;

/// Patterns of the names of all parameters that a registered method puts beside a backbone's own.
///
/// No name of timm's fits one of them.
pub fn method_parameters() -> Vec<&'static str> {
    let examples = AdapterConfig::examples();
    let mut patterns: Vec<_> = examples.iter().flat_map(|m| m.parameters()).copied().collect();
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}

/// Whether `name` is that of a method's parameter, and not one of the backbone's own.
pub fn is_method_parameter(name: &str) -> bool {
    matches(&method_parameters(), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_methods_are_known() {
        for (name, expected) in [
            ("backbone.layers.0.blocks.1.mlp.fc1.lora_shared_A", true),
            ("blocks.0.attn.proj.adapter_down.weight", true),
            ("adapter_phm_rule", true),
            ("hyper_task.semseg", true),
            ("blocks.0.mlp.fc2.hyper_tasks.sal.down.weight", true),
            ("blocks.0.attn.qkv.ssf_scale", true),
            ("blocks.0.mlp.vmt_down.weight", true),
            ("layers.0.blocks.0.vpt_prompts", true),
            ("blocks.0.attn.qkv.weight", false),
            ("layers.1.blocks.0.attn.relative_position_bias_table", false),
            ("layers.1.downsample.reduction.weight", false),
        ] {
            assert_eq!(is_method_parameter(name), expected, "{name}");
        }
    }
}
