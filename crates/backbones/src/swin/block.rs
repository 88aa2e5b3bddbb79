//! One Swin block: window attention and a perceptron, each on a normalised copy of the stream.

use polyptych_tensor::{Activations, LayerNorm, Result};

use super::attention::WindowAttention;
use super::prompts::Layout;
use super::windows::Windows;
use crate::branch::add_branch;
use crate::mlp::Mlp;
use crate::place::Place;
use crate::prompts::InFront;
use crate::tap::{Beside, Made};

/// timm's `layers.i.blocks.j`.
#[derive(Debug)]
pub(super) struct Block {
    prompts: InFront,
    norm1: LayerNorm,
    attn: WindowAttention,
    norm2: LayerNorm,
    mlp: Mlp,
    beside: Beside,
    drop_path: f64,
}

/// What differs from block to block.
pub(super) struct BlockConfig {
    pub(super) dim: i64,
    pub(super) heads: i64,
    pub(super) hidden: i64,
    pub(super) windows: Windows,
    pub(super) qkv_bias: bool,
    pub(super) drop_path: f64,
    /// What goes into and comes out of the patch embedding.
    pub(super) patch: [i64; 2],
}

impl Block {
    pub(super) fn new(place: &Place, config: &BlockConfig) -> Result<Self> {
        let BlockConfig { dim, heads, hidden, windows, qkv_bias, drop_path, patch } = *config;
        let norm = |name: &str| LayerNorm::new(&place.scope.pp(name), dim, super::NORM_EPS);
        Ok(Self {
            prompts: place.prompts(dim, patch)?,
            norm1: norm("norm1")?,
            attn: WindowAttention::new(&place.pp("attn"), dim, heads, windows, qkv_bias)?,
            norm2: norm("norm2")?,
            mlp: Mlp::new(&place.pp("mlp"), dim, hidden)?,
            beside: place.parallel(dim)?,
            drop_path,
        })
    }

    /// What joins the tokens in front of the block.
    pub(super) fn prompts(&self) -> &InFront {
        &self.prompts
    }

    /// What stands beside the MLP.
    pub(super) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// A stream of `layout` to the same.
    pub(super) fn forward(&self, x: &Activations, layout: &Layout, train: bool) -> Made {
        let attended = self.attn.forward(&x.map(|t| self.norm1.forward(t)), layout, train);
        let x = add_branch(x, &attended, self.drop_path, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let mixed = self.mlp.forward(&normed, train);
        let z = add_branch(&x, &mixed, self.drop_path, train);
        (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)))
    }
}
