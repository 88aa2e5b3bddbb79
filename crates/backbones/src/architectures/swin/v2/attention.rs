//! Attention by cosines within (shifted) windows.
//!
//! Liu et al., arXiv 2111.09883, section 3.2: scores are `cos(q, k) / tau + bias`, with a trainable
//! `tau` of at least 0.01 per head, and `bias = 16 sigmoid(mlp(offset))` of log-spaced offsets,
//! equations 2 to 4.

use polyptych_kernels::attention;
use polyptych_tensor::{
    Activations, Init, Kind, Linear, Projection, Result, SiteKind, Tensor, cast,
};

use super::super::mask::MaskCache;
use super::super::prompts::{self, Layout};
use super::super::windows::Windows;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::split_bias::SplitBias;

/// Hidden units of the network of biases.
const HIDDEN: i64 = 512;
/// Largest bias.
const LARGEST: f64 = 16.0;
/// Where the outermost offset of a window lies before the logarithm.
const EDGE: f64 = 8.0;
/// Below this norm a vector counts as zero.
const EPS: f64 = 1e-12;

/// timm's `attn`: `qkv`, `q_bias`, `v_bias`, `logit_scale`, `cpb_mlp`, `proj`.
#[derive(Debug)]
pub(in super::super) struct CosineAttention {
    qkv: Box<dyn Projection>,
    bias: Option<SplitBias>,
    proj: Box<dyn Projection>,
    /// `[heads, 1, 1]`: logarithm of `1 / tau`.
    logit_scale: Tensor,
    cpb_mlp: [Linear; 2],
    /// `[(2 * rows - 1) * (2 * columns - 1), 2]`.
    relative_coords_table: Tensor,
    relative_position_index: Tensor,
    windows: Windows,
    heads: i64,
    mask: MaskCache,
}

impl CosineAttention {
    pub(in super::super) fn new(
        scope: &LayerScope,
        [dim, heads]: [i64; 2],
        windows: Windows,
        pretrained_window: i64,
        qkv_bias: bool,
    ) -> Result<Self> {
        let device = scope.params.store().device();
        let cpb = scope.params.pp("cpb_mlp");
        let table = relative_coords_table(windows.size, pretrained_window);
        let start = Init::Const(10f64.ln());
        Ok(Self {
            qkv: scope.projection("qkv", SiteKind::Qkv, [dim, 3 * dim], false)?,
            bias: qkv_bias.then(|| SplitBias::new(&scope.params, dim)).transpose()?,
            proj: scope.projection("proj", SiteKind::Proj, [dim, dim], true)?,
            logit_scale: scope.params.param("logit_scale", &[heads, 1, 1], start)?,
            cpb_mlp: [
                Linear::new(&cpb.pp(0), 2, HIDDEN, true)?,
                Linear::new(&cpb.pp(2), HIDDEN, heads, false)?,
            ],
            relative_coords_table: table.to_device(device),
            relative_position_index: windows.relative_position_index().to_device(device),
            windows,
            heads,
            mask: MaskCache::default(),
        })
    }

    /// A stream of `layout` to the same.
    pub(in super::super) fn forward(
        &self,
        x: &Activations,
        layout: &Layout,
        train: bool,
    ) -> Activations {
        let windows = &self.windows;
        let bias = self.mask.add_to(self.bias(x.kind()), windows, layout.resolution);
        if let Some(count) = layout.prompts() {
            let qkv = self.queries(&x.map(|t| prompts::cut(windows, layout, count, t)), train);
            let attend =
                |t: &Tensor| prompts::attend_with(windows, layout, count, t, self.heads, &bias);
            let mixed = qkv.map(attend);
            return self.proj.forward(&mixed, train);
        }
        let qkv = self.queries(&x.map(|t| windows.cut(t)), train);
        let mixed = qkv.map(|t| attention(t, self.heads, Some(&bias)));
        self.proj.forward(&mixed, train).map(|t| windows.join(t, layout.resolution))
    }

    /// Query, key and value whose scaled dot products are the scores: `[.., 3 * dim]`.
    fn queries(&self, x: &Activations, train: bool) -> Activations {
        let qkv = self.qkv.forward(x, train);
        qkv.map(|t| match &self.bias {
            Some(bias) => self.normalised(&bias.add_to(t)),
            None => self.normalised(t),
        })
    }

    fn normalised(&self, qkv: &Tensor) -> Tensor {
        let dim = qkv.size()[qkv.dim() - 1] / 3;
        let width = (dim / self.heads) as f64;
        let part = |index: i64| qkv.narrow(-1, index * dim, dim);
        let unit = |index: i64| {
            let of_heads = part(index).to_kind(Kind::Float).unflatten(-1, [self.heads, -1]);
            let squares = &of_heads * &of_heads;
            let square = squares.mean_dim([-1i64].as_slice(), true, Kind::Float) * width;
            // Keys of padding are zeros, where the root has no gradient.
            of_heads / square.clamp_min(EPS * EPS).sqrt()
        };
        // Attention divides by the root of the width.
        let scale = self.logit_scale.to_kind(Kind::Float).clamp_max(100f64.ln()).exp();
        let scale = scale.view([self.heads, 1]) * width.sqrt();
        let flat = |part: Tensor| part.flatten(-2, -1).to_kind(qkv.kind());
        Tensor::cat(&[flat(unit(0) * scale), flat(unit(1)), part(2)], -1)
    }

    /// `[1, heads, area, area]`.
    fn bias(&self, kind: Kind) -> Tensor {
        let area = self.windows.area();
        let [first, second] = &self.cpb_mlp;
        let table = second.forward(&first.forward(&cast(&self.relative_coords_table, kind)).relu());
        let bias = table.index_select(0, &self.relative_position_index);
        bias.view([1, area, area, self.heads]).permute([0, 3, 1, 2]).sigmoid() * LARGEST
    }
}

/// Offsets of a window of `rows` by `columns`, `[(2 * rows - 1) * (2 * columns - 1), 2]`: as shares
/// of the window that the network was trained with, times 8, and then
/// `sign(x) log2(1 + |x|) / log2(8)`.
fn relative_coords_table([rows, columns]: [i64; 2], pretrained: i64) -> Tensor {
    let along = |extent: i64| {
        let edge = (if pretrained > 0 { pretrained } else { extent } - 1).max(1) as f64;
        (1 - extent..extent).map(move |at| {
            let share = at as f64 / edge * EDGE;
            share.signum() * (share.abs() + 1.0).log2() / EDGE.log2()
        })
    };
    let pairs = along(rows).flat_map(|row| along(columns).map(move |column| [row, column]));
    let flat: Vec<f32> = pairs.flatten().map(|at| at as f32).collect();
    Tensor::from_slice(&flat).view([-1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_grow_with_the_logarithm_and_edges_of_the_trained_window_are_one() {
        let column = |window, pretrained| {
            let table = relative_coords_table([1, window], pretrained);
            Vec::<f32>::try_from(table.select(1, 1)).unwrap()
        };
        let edge = (9f32).log2() / 3.0;
        assert_eq!(column(2, 0), [-edge, 0.0, edge]);
        assert_eq!(column(3, 0)[3], 5f32.log2() / 3.0);
        assert_eq!(column(4, 2)[6], 25f32.log2() / 3.0);
    }
}
