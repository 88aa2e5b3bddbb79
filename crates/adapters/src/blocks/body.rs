//! What methods for a Swin with task streams train of the backbone beside their own parameters.

use polyptych_tensor::{ParameterKind, ParameterKinds};

/// Which parts of the backbone stay as they were, as in the published code of MTLoRA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frozen {
    pub(crate) patch_embed: bool,
    pub(crate) norm: bool,
    pub(crate) relative_position_bias: bool,
    pub(crate) downsample_reduction: bool,
}

impl Frozen {
    /// Whether parameters of the backbone's own that are of `kinds` train.
    pub(crate) fn trains(&self, kinds: &ParameterKinds) -> bool {
        let is = |kind: ParameterKind| kinds.contains(&kind);
        let (patch_embed, norm) = (is(ParameterKind::PatchEmbed), is(ParameterKind::Norm));
        ((patch_embed || norm) && !(patch_embed && self.patch_embed) && !(norm && self.norm))
            || (is(ParameterKind::RelativePositionBias) && !self.relative_position_bias)
            || (is(ParameterKind::PatchMerging) && !self.downsample_reduction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_freeze_what_they_name() {
        let kinds = [
            ParameterKind::PatchEmbed,
            ParameterKind::Norm,
            ParameterKind::RelativePositionBias,
            ParameterKind::PatchMerging,
            ParameterKind::Bias,
        ];
        let all = [false; 4];
        let trains = |[patch_embed, norm, relative_position_bias, downsample_reduction]: [bool;
                          4]| {
            let frozen = Frozen { patch_embed, norm, relative_position_bias, downsample_reduction };
            (0..5).filter(|&index| frozen.trains(&[kinds[index]].into())).collect::<Vec<usize>>()
        };
        assert_eq!(trains(all), [0, 1, 2, 3]);
        for (index, left) in [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]].iter().enumerate() {
            let mut one = all;
            one[index] = true;
            assert_eq!(trains(one), left);
        }
    }
}
