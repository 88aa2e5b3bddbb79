//! ConvNeXt as its authors publish it, the same in Meta's DINOv3, and Hugging Face's
//! `ConvNextModel` and `DINOv3ConvNextModel`.

use polyptych_tensor::Tensors;

use super::prefix_table::replace_prefix;
use super::source::Source;

/// ConvNeXt's authors, and Meta's DINOv3.
pub const CONVNEXT: Source = Source {
    block: Some(r"stages\.\d+\.\d+\.(?:dwconv|pwconv1|pwconv2)\."),
    // The norm of the last level is `norm` once more.
    left_out: &["norms."],
    ..Source::new("ConvNeXt's authors", &["stages.0.0.dwconv."], |t| Ok(renamed_all(t, authors)))
};

/// Hugging Face's.
pub const HUGGING_FACE_CONVNEXT: Source = Source {
    block: Some(r"(?:encoder\.)?stages\.\d+\.layers\.\d+\."),
    ..Source::new(
        "Hugging Face's ConvNeXt",
        &["stages.0.layers.0.dwconv.", "stages.0.layers.0.depthwise_conv."],
        |t| Ok(renamed_all(t, hugging_face)),
    )
};

/// Prefixes of the trunk in a model with a classifier.
const TRUNKS: [&str; 2] = ["convnext.", "model."];

const TOP: [(&str, &str); 5] = [
    ("embeddings.patch_embeddings.", "stem.0."),
    ("embeddings.layernorm.", "stem.1."),
    ("layernorm.", "head.norm."),
    ("layer_norm.", "head.norm."),
    ("classifier.", "head.fc."),
];

const AUTHORS_TOP: [(&str, &str); 3] =
    [("downsample_layers.0.", "stem."), ("norm.", "head.norm."), ("head.", "head.fc.")];

const BLOCK: [(&str, &str); 11] = [
    ("dwconv.", "conv_dw."),
    ("depthwise_conv.", "conv_dw."),
    ("layernorm.", "norm."),
    ("layer_norm.", "norm."),
    ("norm.", "norm."),
    ("pwconv1.", "mlp.fc1."),
    ("pwconv2.", "mlp.fc2."),
    ("pointwise_conv1.", "mlp.fc1."),
    ("pointwise_conv2.", "mlp.fc2."),
    ("layer_scale_parameter", "gamma"),
    ("gamma", "gamma"),
];

fn renamed_all(tensors: Tensors, renamed: fn(&str) -> Option<String>) -> Tensors {
    let rename = |name: String| renamed(&name).unwrap_or(name);
    tensors.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

fn authors(name: &str) -> Option<String> {
    if let Some(block) = name.strip_prefix("stages.") {
        let (stage, block) = block.split_once('.')?;
        let (index, rest) = block.split_once('.')?;
        return Some(format!("stages.{stage}.blocks.{index}.{}", replace_prefix(rest, &BLOCK)?));
    }
    if let Some(top) = replace_prefix(name, &AUTHORS_TOP) {
        return Some(top);
    }
    let (stage, rest) = name.strip_prefix("downsample_layers.")?.split_once('.')?;
    Some(format!("stages.{stage}.downsample.{rest}"))
}

fn hugging_face(name: &str) -> Option<String> {
    let name = TRUNKS.iter().find_map(|trunk| name.strip_prefix(trunk)).unwrap_or(name);
    let staged = name.strip_prefix("encoder.").unwrap_or(name).strip_prefix("stages.");
    let Some(stage) = staged else { return replace_prefix(name, &TOP) };
    let (stage, rest) = stage.split_once('.')?;
    let down = ["downsampling_layer.", "downsample_layers."];
    if let Some(rest) = down.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        return Some(match stage {
            "0" => format!("stem.{rest}"),
            _ => format!("stages.{stage}.downsample.{rest}"),
        });
    }
    let (index, rest) = rest.strip_prefix("layers.")?.split_once('.')?;
    Some(format!("stages.{stage}.blocks.{index}.{}", replace_prefix(rest, &BLOCK)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_authors_names_is_known() {
        for (from, to) in [
            ("downsample_layers.0.1.bias", "stem.1.bias"),
            ("downsample_layers.2.0.weight", "stages.2.downsample.0.weight"),
            ("stages.3.2.dwconv.weight", "stages.3.blocks.2.conv_dw.weight"),
            ("stages.3.2.norm.bias", "stages.3.blocks.2.norm.bias"),
            ("stages.3.2.gamma", "stages.3.blocks.2.gamma"),
            ("stages.0.0.pwconv2.bias", "stages.0.blocks.0.mlp.fc2.bias"),
            ("norm.weight", "head.norm.weight"),
            ("head.weight", "head.fc.weight"),
        ] {
            assert_eq!(authors(from).as_deref(), Some(to));
        }
        assert_eq!(authors("neck.weight"), None);
    }
}
