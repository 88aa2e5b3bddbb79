//! Class token and learned position of every token.

use polyptych_tensor::{Init, Result, Scope, Tensor, cast};

use super::VitConfig;
use crate::resample;

/// timm's `cls_token` and `pos_embed`.
#[derive(Debug)]
pub(super) struct TokenEmbed {
    /// `[1, 1, dim]`.
    cls_token: Option<Tensor>,
    /// `[1, prefix + rows * columns, dim]`.
    pos_embed: Tensor,
    grid: [i64; 2],
}

impl TokenEmbed {
    pub(super) fn new(scope: &Scope, config: &VitConfig) -> Result<Self> {
        let (dim, grid) = (config.embed_dim, config.grid());
        let token = || scope.param("cls_token", &[1, 1, dim], Init::Normal(1e-6));
        let tokens = config.prefix_tokens() + grid[0] * grid[1];
        Ok(Self {
            cls_token: config.class_token.then(token).transpose()?,
            pos_embed: scope.param("pos_embed", &[1, tokens, dim], Init::TruncNormal(0.02))?,
            grid,
        })
    }

    /// `[batch, rows, columns, dim]` to `[batch, prefix + rows * columns, dim]`.
    pub(super) fn forward(&self, patches: &Tensor) -> Tensor {
        let (size, kind) = (patches.size(), patches.kind());
        let tokens = patches.flatten(1, 2);
        let tokens = match &self.cls_token {
            Some(token) => {
                Tensor::cat(&[cast(token, kind).expand([size[0], -1, -1], false), tokens], 1)
            }
            None => tokens,
        };
        tokens + cast(&self.positions([size[1], size[2]]), kind)
    }

    /// Positions for a grid of patches, resampled where it is not the planned one.
    fn positions(&self, grid: [i64; 2]) -> Tensor {
        match grid == self.grid {
            true => self.pos_embed.shallow_clone(),
            false => {
                let prefix = i64::from(self.cls_token.is_some());
                resample::pos_embed_from(&self.pos_embed, self.grid, grid, prefix)
            }
        }
    }
}
