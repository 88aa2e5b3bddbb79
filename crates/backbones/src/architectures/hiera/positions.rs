//! Learned positions: one for each patch, or one of the whole image's and one within its unit.
//!
//! The second is that of Bolya et al., "Window Attention is Bugged", arXiv 2311.05613, section 4.

use polyptych_tensor::{Init, Kind, Result, Scope, Tensor, cast};

use super::config::HieraConfig;
use crate::weights::resample;

/// timm's `pos_embed`, and `pos_embed_win` where it has one.
#[derive(Debug)]
pub(super) enum Positions {
    /// `[1, rows * columns, embed_dim]` of the planned grid.
    Patches { pos_embed: Tensor, grid: [i64; 2] },
    /// `[1, embed_dim, rows, columns]` that are stretched over the image, and as many as a unit has.
    Units { pos_embed: Tensor, pos_embed_win: Tensor },
}

impl Positions {
    pub(super) fn new(scope: &Scope, config: &HieraConfig) -> Result<Self> {
        let (dim, law) = (config.embed_dim, Init::TruncNormal(0.02));
        if !config.abs_win_pos_embed {
            let grid = config.grid();
            let pos_embed = scope.param("pos_embed", &[1, grid[0] * grid[1], dim], law)?;
            return Ok(Positions::Patches { pos_embed, grid });
        }
        let map = |name: &str, [rows, columns]: [i64; 2]| {
            scope.param(name, &[1, dim, rows, columns], law)
        };
        Ok(Positions::Units {
            pos_embed: map("pos_embed", config.global_pos_size)?,
            pos_embed_win: map("pos_embed_win", [config.mask_unit_size; 2])?,
        })
    }

    /// `[batch, rows, columns, embed_dim]` with positions; another grid than the planned one has them
    /// resampled.
    pub(super) fn add_to(&self, map: &Tensor) -> Tensor {
        let grid = [map.size()[1], map.size()[2]];
        map + cast(&self.of_grid(grid), map.kind())
    }

    /// `[1, rows, columns, embed_dim]`.
    fn of_grid(&self, grid: [i64; 2]) -> Tensor {
        match self {
            Positions::Patches { pos_embed, grid: own } if *own == grid => {
                pos_embed.unflatten(1, grid)
            }
            Positions::Patches { pos_embed, grid: own } => {
                resample::pos_embed_from(pos_embed, *own, grid, 0).unflatten(1, grid)
            }
            Positions::Units { pos_embed, pos_embed_win } => {
                let unit = pos_embed_win.size()[2];
                let tiled = pos_embed_win.repeat([1, 1, grid[0] / unit, grid[1] / unit]);
                let wide = pos_embed.to_kind(Kind::Float);
                let wide = wide.internal_upsample_bicubic2d_aa(grid, false, None, None);
                (wide.to_kind(tiled.kind()) + tiled).permute([0, 2, 3, 1])
            }
        }
    }
}
