//! The checkpoints of MTLoRA's authors: a Swin with its adapters, and the decoders of the tasks.

use polyptych_tensor::Tensors;

use super::microsoft_swin::microsoft_swin;
use super::source::Source;

/// MTLoRA's authors; `backbone.` tells their trunk from their decoders.
pub const MTLORA: Source = Source {
    own_prefix: "backbone.",
    ..Source::new("MTLoRA", &["lora_shared_A", "decoders.decoders."], |t| Ok(mtlora(t)))
};

const TASKS: [&str; 2] = ["downsampler.", "decoders.decoders."];

/// Names of MTLoRA's checkpoints: the trunk in timm's words with the adapters beside it, and the
/// decoders as `heads.<task>`.
///
/// Linear layers with adapters lie one level deeper there, in `linear`.
fn mtlora(tensors: Tensors) -> Tensors {
    let rename = |name: String| renamed(&name).unwrap_or(name);
    microsoft_swin(tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect())
}

fn renamed(name: &str) -> Option<String> {
    if let Some(head) = TASKS.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        return Some(format!("heads.{head}"));
    }
    let name = name.strip_prefix("backbone.")?;
    Some(match name.rsplit_once(".linear.") {
        Some((path, part)) => format!("{path}.{part}"),
        None => name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Tensor;

    #[test]
    fn every_kind_of_name_is_known() {
        for (from, to) in [
            ("backbone.patch_embed.norm.bias", "patch_embed.norm.bias"),
            (
                "backbone.layers.0.blocks.1.attn.qkv.linear.weight",
                "layers.0.blocks.1.attn.qkv.weight",
            ),
            (
                "backbone.layers.0.blocks.1.mlp.fc1.lora_shared_A",
                "layers.0.blocks.1.mlp.fc1.lora_shared_A",
            ),
            (
                "backbone.layers.0.blocks.1.mlp.fc1.lora_tasks_B.sal",
                "layers.0.blocks.1.mlp.fc1.lora_tasks_B.sal",
            ),
            (
                "backbone.layers.2.downsample.reduction.linear.weight",
                "layers.3.downsample.reduction.weight",
            ),
            (
                "backbone.layers.0.downsample.reduction.lora_shared_B",
                "layers.1.downsample.reduction.lora_shared_B",
            ),
            ("downsampler.normals.downsample_3.weight", "heads.normals.downsample_3.weight"),
            (
                "decoders.decoders.semseg.last_layer.1.running_var",
                "heads.semseg.last_layer.1.running_var",
            ),
        ] {
            let renamed = mtlora(Tensors::from([(from.to_owned(), Tensor::new())]));
            assert!(renamed.keys().eq([to]), "{from}: {renamed:?}");
        }
    }
}
