//! Class token, register tokens and learned positions.
//!
//! Registers: Darcet et al., "Vision Transformers Need Registers", arXiv 2309.16588.

use polyptych_tensor::{Init, Kind, Result, Scope, Tensor, cast};

use super::config::VitConfig;
use crate::weights::resample;

/// timm's `cls_token`, `reg_token` and `pos_embed`.
#[derive(Debug)]
pub(super) struct TokenEmbed {
    /// `[1, 1, dim]`.
    cls_token: Option<Tensor>,
    /// `[1, reg_tokens, dim]`.
    reg_token: Option<Tensor>,
    /// `[1, prefix_positions + rows * columns, dim]`.
    pos_embed: Tensor,
    /// Entries of `pos_embed` before those of the patches.
    prefix_positions: i64,
    grid: [i64; 2],
}

impl TokenEmbed {
    pub(super) fn new(scope: &Scope, config: &VitConfig) -> Result<Self> {
        let (dim, grid, prefix_positions) =
            (config.embed_dim, config.grid(), config.prefix_positions());
        let token = |name: &str, count: i64| {
            let make = || scope.param(name, &[1, count, dim], Init::Normal(1e-6));
            (count > 0).then(make).transpose()
        };
        let positions = prefix_positions + grid[0] * grid[1];
        Ok(Self {
            cls_token: token("cls_token", config.class_token.into())?,
            reg_token: token("reg_token", config.reg_tokens)?,
            pos_embed: scope.param("pos_embed", &[1, positions, dim], Init::TruncNormal(0.02))?,
            prefix_positions,
            grid,
        })
    }

    /// `[batch, rows, columns, dim]` to `[batch, prefix + rows * columns, dim]`.
    pub(super) fn forward(&self, patches: &Tensor) -> Tensor {
        let (size, kind) = (patches.size(), patches.kind());
        let (tokens, positions) = (patches.flatten(1, 2), self.positions([size[1], size[2]]));
        let positions = cast(&positions, kind);
        match self.prefix_positions {
            0 => self.behind_prefix(tokens + positions, kind),
            _ => self.behind_prefix(tokens, kind) + positions,
        }
    }

    /// `tokens` of patches behind class and register tokens.
    fn behind_prefix(&self, tokens: Tensor, kind: Kind) -> Tensor {
        let batch = tokens.size()[0];
        let prefix = [&self.cls_token, &self.reg_token].into_iter().flatten();
        let mut all: Vec<Tensor> =
            prefix.map(|token| cast(token, kind).expand([batch, -1, -1], false)).collect();
        match all.is_empty() {
            true => tokens,
            false => {
                all.push(tokens);
                Tensor::cat(&all, 1)
            }
        }
    }

    /// Positions for a grid of patches, resampled where it is not the planned one.
    fn positions(&self, grid: [i64; 2]) -> Tensor {
        match grid == self.grid {
            true => self.pos_embed.shallow_clone(),
            false => {
                let prefix = self.prefix_positions;
                resample::pos_embed_from(&self.pos_embed, self.grid, grid, prefix)
            }
        }
    }
}
