//! What the names and shapes of a Hiera's parameters tell.

use polyptych_tensor::Tensors;

use super::config::{HieraConfig, STRIDE};
use crate::architectures::names::{Shapes, is_affine, is_of_block, numbered};
use crate::architectures::summary::{Summary, count_blocks, embed_dim};
use crate::weights::resample::square_side;

const TOP: [&str; 3] = ["patch_embed.proj", "head.norm", "head.fc"];
const ALONE: [&str; 2] = ["pos_embed", "pos_embed_win"];
const SCALES: [&str; 2] = ["ls1.gamma", "ls2.gamma"];
/// Positions along one side of a unit in published models.
const UNIT: i64 = 8;
/// Stages that attend among all positions in published models: the last two.
const GLOBAL: usize = 2;

/// See [`Architecture::has_parameter`](crate::Architecture::has_parameter).
pub(super) fn has_parameter(name: &str) -> bool {
    let block = numbered(name, "blocks.");
    ALONE.contains(&name)
        || is_affine(name, &TOP)
        || is_of_block(name, &SCALES)
        || block.is_some_and(|inner| is_affine(inner, &["proj"]))
}

impl HieraConfig {
    /// See [`Architecture::summary`](crate::Architecture::summary).
    pub(super) fn summarized(&self) -> Summary {
        let (embed_dim, depths) = (self.embed_dim, self.stages.clone());
        Summary { architecture: "Hiera", embed_dim, depths }
    }

    /// See [`Architecture::summary_of`](crate::Architecture::summary_of).
    ///
    /// A block whose second norm is wider than its first opens a stage.
    pub(super) fn summary_of_tensors(tensors: &Tensors) -> Option<Summary> {
        let shapes = Shapes(tensors);
        let width =
            |index: usize, norm: &str| shapes.size(&format!("blocks.{index}.{norm}.weight"), 0);
        let mut depths = Vec::new();
        for index in 0..count_blocks(tensors, "") {
            let opens = width(index, "norm1")? != width(index, "norm2")?;
            match depths.last_mut().filter(|_| !opens) {
                Some(depth) => *depth += 1,
                None => depths.push(1),
            }
        }
        let embed_dim = embed_dim(tensors)?;
        (depths.len() > 1).then_some(Summary { architecture: "Hiera", embed_dim, depths })
    }

    /// What `tensors` are of; `None` where they are no whole Hiera.
    ///
    /// No shape tells the number of heads: `num_heads` does, of the first stage; else that of the
    /// named variant of this width and depth, or one. Nor does any tell the unit, for which
    /// `mask_unit_size` stands, or that of published models, nor which stages attend within units.
    pub(super) fn of_tensors(
        tensors: &Tensors,
        num_heads: Option<i64>,
        mask_unit_size: Option<i64>,
    ) -> Option<Self> {
        let (summary, shapes) = (Self::summary_of_tensors(tensors)?, Shapes(tensors));
        let stages = summary.depths.len();
        let window = shapes.size("pos_embed_win", 2);
        let unit = window.or(mask_unit_size).unwrap_or(UNIT);
        let positions = |axis| shapes.size("pos_embed", axis);
        let [rows, columns] = match window {
            Some(_) => [positions(2)?, positions(3)?],
            None => [square_side(positions(1)?)?; 2],
        };
        // Positions of the image are stretched to any size; those of published models are for 256.
        let img_size = if window.is_some() { [256; 2] } else { [STRIDE * rows; 2] };
        let opening = format!("blocks.{}.proj.weight", summary.depths[0]);
        let mlp = shapes.size("blocks.0.mlp.fc1.weight", 0)?;
        Some(Self {
            img_size,
            in_chans: shapes.size("patch_embed.proj.weight", 1)?,
            num_classes: shapes.size("head.fc.weight", 0).unwrap_or(0),
            embed_dim: summary.embed_dim,
            num_heads: num_heads.or_else(|| named_heads(&summary)).unwrap_or(1),
            mask_unit_size: unit,
            mask_unit_attn: (0..stages).map(|stage| stage + GLOBAL < stages).collect(),
            use_expand_proj: shapes.has(&opening),
            mlp_ratio: mlp as f64 / summary.embed_dim as f64,
            init_values: shapes.has("blocks.0.ls1.gamma").then_some(1.0),
            abs_win_pos_embed: window.is_some(),
            global_pos_size: if window.is_some() { [rows, columns] } else { GLOBAL_POS_SIZE },
            stages: summary.depths,
            drop_path_rate: 0.0,
        })
    }
}

/// timm's default, which nothing reads where positions are those of patches.
pub(super) const GLOBAL_POS_SIZE: [i64; 2] = [14; 2];

/// The heads of a named Hiera of this width and depth.
fn named_heads(summary: &Summary) -> Option<i64> {
    let variants = HieraConfig::variants().into_iter();
    let mut same = variants.filter(|(_, config)| config.summarized() == *summary);
    same.next().map(|(_, config)| config.num_heads)
}
