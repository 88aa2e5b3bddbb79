//! Which shared parameters stand in the last block of the trunk?

use polyptych_tensor::Tensor;

use crate::training::balance::parameter_sharing::ParameterSharing;

/// Indices of the parameters in the last block that has any of those that all `num_tasks` share;
/// where no name tells a block, all of those.
pub(super) fn last_block(
    sharing: &ParameterSharing,
    num_tasks: usize,
    params: &[(String, Tensor)],
) -> Vec<usize> {
    let common = all(sharing, num_tasks);
    let last = common.iter().filter_map(|&index| position(&params[index].0)).max();
    match last {
        Some(last) => {
            let inside = |index: &usize| position(&params[*index].0).as_ref() == Some(&last);
            common.into_iter().filter(inside).collect()
        }
        None => common,
    }
}

/// Indices of all parameters that `num_tasks` tasks share.
pub(super) fn all(sharing: &ParameterSharing, num_tasks: usize) -> Vec<usize> {
    let common = sharing.shared.iter().filter(|shared| shared.tasks.len() == num_tasks);
    common.map(|shared| shared.index).collect()
}

/// Stage and block of a Swin, or block of a ViT; what merges patches stands behind its stage.
fn position(name: &str) -> Option<[usize; 2]> {
    let mut parts = name.strip_prefix("backbone.").unwrap_or(name).split('.');
    let (first, number) = (parts.next()?, parts.next()?.parse().ok()?);
    match (first, parts.next()) {
        ("layers", Some("blocks")) => Some([number, parts.next()?.parse().ok()?]),
        ("layers", _) => Some([number, usize::MAX]),
        ("blocks", _) => Some([number, 0]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_ordered_by_number() {
        let positions = [
            ("backbone.patch_embed.proj.weight", None),
            ("backbone.blocks.9.attn.qkv.lora_A", Some([9, 0])),
            ("blocks.11.mlp.fc1.lora_B", Some([11, 0])),
            ("backbone.layers.2.blocks.1.mlp.fc1.lora_A", Some([2, 1])),
            ("backbone.layers.2.downsample.reduction.lora_A", Some([2, usize::MAX])),
            ("backbone.layers.3.blocks.0.attn.proj.lora_A", Some([3, 0])),
            ("heads.depth.0.weight", None),
        ];
        for (name, expected) in positions {
            assert_eq!(position(name), expected, "{name}");
        }
    }
}
