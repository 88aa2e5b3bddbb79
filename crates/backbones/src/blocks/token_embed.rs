//! Class token, distillation token, register tokens and learned positions.
//!
//! Registers: Darcet et al., "Vision Transformers Need Registers", arXiv 2309.16588.

use polyptych_tensor::{Init, Kind, Result, Scope, Tensor, cast};

use crate::weights::resample;

/// What is learned for every token before the blocks.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenEmbedConfig {
    pub(crate) dim: i64,
    /// Rows and columns of patches that positions are stored for.
    pub(crate) grid: [i64; 2],
    pub(crate) class_token: bool,
    pub(crate) distilled: bool,
    pub(crate) reg_tokens: i64,
    /// Whether there are learned positions.
    pub(crate) pos_embed: bool,
    /// Entries of `pos_embed` before those of the patches.
    pub(crate) prefix_positions: i64,
}

/// timm's `cls_token`, `dist_token`, `reg_token` and `pos_embed`.
#[derive(Debug)]
pub(crate) struct TokenEmbed {
    /// `[1, 1, dim]`.
    cls_token: Option<Tensor>,
    /// `[1, 1, dim]`.
    dist_token: Option<Tensor>,
    /// `[1, reg_tokens, dim]`.
    reg_token: Option<Tensor>,
    /// `[1, prefix_positions + rows * columns, dim]`, where positions are learned.
    pos_embed: Option<Tensor>,
    /// Entries of `pos_embed` before those of the patches.
    prefix_positions: i64,
    grid: [i64; 2],
}

impl TokenEmbed {
    pub(crate) fn new(scope: &Scope, config: TokenEmbedConfig) -> Result<Self> {
        let TokenEmbedConfig { dim, grid, prefix_positions, .. } = config;
        let token = |name: &str, count: i64| {
            let make = || scope.param(name, &[1, count, dim], Init::Normal(1e-6));
            (count > 0).then(make).transpose()
        };
        let positions = prefix_positions + grid[0] * grid[1];
        let law = Init::TruncNormal(0.02);
        let pos_embed = || scope.param("pos_embed", &[1, positions, dim], law);
        Ok(Self {
            cls_token: token("cls_token", config.class_token.into())?,
            dist_token: token("dist_token", config.distilled.into())?,
            reg_token: token("reg_token", config.reg_tokens)?,
            pos_embed: config.pos_embed.then(pos_embed).transpose()?,
            prefix_positions,
            grid,
        })
    }

    /// `[batch, rows, columns, dim]` to `[batch, prefix + rows * columns, dim]`.
    pub(crate) fn forward(&self, patches: &Tensor) -> Tensor {
        let (size, kind) = (patches.size(), patches.kind());
        let tokens = patches.flatten(1, 2);
        let Some(pos_embed) = &self.pos_embed else { return self.behind_prefix(tokens, kind) };
        let positions = cast(&self.positions(pos_embed, [size[1], size[2]]), kind);
        match self.prefix_positions {
            0 => self.behind_prefix(tokens + positions, kind),
            _ => self.behind_prefix(tokens, kind) + positions,
        }
    }

    /// `tokens` of patches behind those that are no patches.
    fn behind_prefix(&self, tokens: Tensor, kind: Kind) -> Tensor {
        let batch = tokens.size()[0];
        let prefix = [&self.cls_token, &self.dist_token, &self.reg_token].into_iter().flatten();
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
    fn positions(&self, pos_embed: &Tensor, grid: [i64; 2]) -> Tensor {
        match grid == self.grid {
            true => pos_embed.shallow_clone(),
            false => {
                let prefix = self.prefix_positions;
                resample::pos_embed_from(pos_embed, self.grid, grid, prefix)
            }
        }
    }
}
