//! What methods for a Swin with task streams train of the backbone beside their own parameters.

/// Which parts of the backbone stay as they were, as in the published code of MTLoRA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frozen {
    pub(crate) patch_embed: bool,
    pub(crate) norm: bool,
    pub(crate) relative_position_bias: bool,
    pub(crate) downsample_reduction: bool,
}

impl Frozen {
    /// Whether timm's parameter `name` trains.
    pub(crate) fn trains(&self, name: &str) -> bool {
        let has = |part: &str| name.contains(part);
        let (patch_embed, norm) = (has("patch_embed"), has("norm"));
        ((patch_embed || norm) && !(patch_embed && self.patch_embed) && !(norm && self.norm))
            || (has("relative_position_bias_table") && !self.relative_position_bias)
            || (has("downsample.reduction") && !self.downsample_reduction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_freeze_what_they_name() {
        let names = [
            "patch_embed.proj.weight",
            "layers.0.blocks.1.norm1.bias",
            "layers.0.blocks.1.attn.relative_position_bias_table",
            "layers.1.downsample.reduction.weight",
            "layers.0.blocks.1.mlp.fc1.bias",
        ];
        let all = [false; 4];
        let trains = |[patch_embed, norm, relative_position_bias, downsample_reduction]: [bool;
                          4]| {
            let frozen = Frozen { patch_embed, norm, relative_position_bias, downsample_reduction };
            (0..5).filter(|&index| frozen.trains(names[index])).collect::<Vec<usize>>()
        };
        assert_eq!(trains(all), [0, 1, 2, 3]);
        for (index, left) in [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]].iter().enumerate() {
            let mut one = all;
            one[index] = true;
            assert_eq!(trains(one), left);
        }
    }
}
