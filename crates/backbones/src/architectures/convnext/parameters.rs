//! What the names and shapes of a ConvNeXt's parameters tell.

use polyptych_tensor::Tensors;

use super::config::ConvNextConfig;
use crate::architectures::names::{Shapes, is_affine, numbered};
use crate::architectures::summary::{Summary, count_blocks};

const TOP: [&str; 4] = ["stem.0", "stem.1", "head.norm", "head.fc"];
const STAGE: [&str; 2] = ["downsample.0", "downsample.1"];
const BLOCK: [&str; 4] = ["conv_dw", "norm", "mlp.fc1", "mlp.fc2"];

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    let stage = numbered(name, "stages.");
    let block = stage.and_then(|stage| numbered(stage, "blocks."));
    is_affine(name, &TOP)
        || stage.is_some_and(|inner| is_affine(inner, &STAGE))
        || block.is_some_and(|inner| inner == "gamma" || is_affine(inner, &BLOCK))
}

impl ConvNextConfig {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        let embed_dim = self.dims.first().copied().unwrap_or(0);
        Summary { architecture: "ConvNeXt", embed_dim, depths: self.depths.clone() }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let embed_dim = Shapes(tensors).size("stages.0.blocks.0.conv_dw.weight", 0)?;
        let depth = |stage: usize| count_blocks(tensors, &format!("stages.{stage}."));
        let depths = (0..).map(depth).take_while(|&depth| depth > 0).collect();
        Some(Summary { architecture: "ConvNeXt", embed_dim, depths })
    }

    /// What `tensors` are of, for images of 224 pixels; `None` where they are no whole ConvNeXt.
    pub(super) fn of_tensors(tensors: &Tensors) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let dim = |stage: usize| {
            let part = |name: &str| format!("stages.{stage}.blocks.0.{name}.weight");
            let hidden = shapes.size(&part("mlp.fc1"), 0)?;
            let dim = shapes.size(&part("conv_dw"), 0)?;
            (hidden == 4 * dim && shapes.size(&part("conv_dw"), 2)? == 7).then_some(dim)
        };
        Some(Self {
            img_size: [224; 2],
            patch_size: shapes.size("stem.0.weight", 2)?,
            in_chans: shapes.size("stem.0.weight", 1)?,
            num_classes: shapes.size("head.fc.weight", 0).unwrap_or(0),
            dims: (0..summary.depths.len()).map(dim).collect::<Option<_>>()?,
            depths: summary.depths,
            ls_init_value: shapes.has("stages.0.blocks.0.gamma").then_some(1.0),
            drop_path_rate: 0.0,
        })
    }
}
