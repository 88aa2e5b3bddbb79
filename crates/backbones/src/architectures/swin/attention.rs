//! Attention within (shifted) windows, with a learned bias per relative position.

use polyptych_kernels::attention;
use polyptych_tensor::{
    Activations, Init, Kind, ParameterKind, Projection, Result, SiteKind, Tensor, cast,
};

use super::mask::MaskCache;
use super::prompts::{self, Layout};
use super::windows::Windows;
use crate::blocks::layer_scope::LayerScope;

/// timm's `attn`: `qkv`, `relative_position_bias_table`, `proj`.
#[derive(Debug)]
pub(super) struct WindowAttention {
    pub(super) qkv: Box<dyn Projection>,
    pub(super) proj: Box<dyn Projection>,
    /// `[(2 * rows - 1) * (2 * columns - 1), heads]` of the window's rows and columns.
    relative_position_bias_table: Tensor,
    relative_position_index: Tensor,
    pub(super) windows: Windows,
    pub(super) heads: i64,
    mask: MaskCache,
}

impl WindowAttention {
    pub(super) fn new(
        scope: &LayerScope,
        dim: i64,
        heads: i64,
        windows: Windows,
        qkv_bias: bool,
    ) -> Result<Self> {
        let [rows, columns] = windows.size;
        let table = [(2 * rows - 1) * (2 * columns - 1), heads];
        let device = scope.params.store().device();
        Ok(Self {
            qkv: scope.projection("qkv", SiteKind::Qkv, [dim, 3 * dim], qkv_bias)?,
            proj: scope.projection("proj", SiteKind::Proj, [dim, dim], true)?,
            relative_position_bias_table: scope
                .params
                .of_kind(ParameterKind::RelativePositionBias)
                .param("relative_position_bias_table", &table, Init::TruncNormal(0.02))?,
            relative_position_index: windows.relative_position_index().to_device(device),
            windows,
            heads,
            mask: MaskCache::default(),
        })
    }

    /// A stream of `layout` to the same.
    pub(super) fn forward(&self, x: &Activations, layout: &Layout, train: bool) -> Activations {
        let bias = self.bias(layout.resolution, x.kind());
        let windows = &self.windows;
        if let Some(count) = layout.prompts() {
            let cut = x.map(|t| prompts::cut(windows, layout, count, t));
            let mixed = self
                .qkv
                .forward(&cut, train)
                .map(|qkv| prompts::attend_with(windows, layout, count, qkv, self.heads, &bias));
            return self.proj.forward(&mixed, train);
        }
        let qkv = self.qkv.forward(&x.map(|t| windows.cut(t)), train);
        let mixed = qkv.map(|t| attention(t, self.heads, Some(&bias)));
        self.proj.forward(&mixed, train).map(|t| windows.join(t, layout.resolution))
    }

    /// Relative position bias plus mask, `[1 or windows, heads, area, area]`.
    pub(super) fn bias(&self, resolution: [i64; 2], kind: Kind) -> Tensor {
        let area = self.windows.area();
        let bias = cast(&self.relative_position_bias_table, kind)
            .index_select(0, &self.relative_position_index)
            .view([1, area, area, self.heads])
            .permute([0, 3, 1, 2]);
        self.mask.add_to(bias, &self.windows, resolution)
    }
}
