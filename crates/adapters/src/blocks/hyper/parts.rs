//! What hypernetworks are made of, and where their parameters lie.

use polyptych_tensor::{Init, Result, Scope, Site, SiteKind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::kronecker::backbone_of;

/// Which bottlenecks one set of hypernetworks serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hypernetworks {
    /// Those of all blocks of one width: a stage of a Swin, a whole ViT.
    #[default]
    Width,
    /// Those of one block.
    Block,
}

/// Where the biases of a bottleneck come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HyperBias {
    /// They are numbers of the layer, the same for all tasks.
    Layer,
    /// Hypernetworks make them.
    Generated,
}

/// Where a bottleneck is being made.
pub(crate) struct HyperSite<'a> {
    /// That of the projection before it.
    pub(crate) scope: &'a Scope,
    pub(crate) site: &'a Site,
    /// `n`.
    pub(crate) width: i64,
}

impl HyperSite<'_> {
    /// The scope of the whole backbone.
    pub(crate) fn backbone(&self) -> Scope {
        backbone_of(self.scope, self.site)
    }

    /// The scope of the block.
    pub(crate) fn block(&self) -> Scope {
        let above = |path: &str| path.rsplit_once('.').map_or("", |(above, _)| above).to_owned();
        self.scope.store().root().adapter().pp(above(&above(self.scope.path())))
    }

    /// `attn` or `mlp`: the branch that the bottleneck stands behind.
    pub(crate) fn branch(&self) -> &'static str {
        if self.site.kind == SiteKind::Proj { "attn" } else { "mlp" }
    }

    /// The scope of the hypernetworks that serve this place.
    pub(crate) fn hypernetworks(&self, shared: Hypernetworks) -> Scope {
        match shared {
            Hypernetworks::Width => self.backbone().pp("hyper_net").pp(self.site.out_features),
            Hypernetworks::Block => self.block().pp("hyper_net"),
        }
    }
}

/// Finds or makes the embedding `hyper_task.<task>`, `[dim]`, of every task.
pub(crate) fn task_embeddings(
    place: &HyperSite,
    tasks: &[String],
    dim: i64,
    init: Init,
) -> Result<Vec<Tensor>> {
    let scope = place.backbone().pp("hyper_task");
    tasks.iter().map(|task| scope.shared_param(task, &[dim], init)).collect()
}

/// `vec(W_t) = H v_t`: a matrix for each embedding.
#[derive(Debug)]
pub(crate) struct Matrix {
    /// `H`, `[rows * columns, dim]`.
    weight: Tensor,
    shape: [i64; 2],
}

impl Matrix {
    /// Finds or makes `H` under `name` for matrices of `[rows, columns]`.
    pub(crate) fn new(
        scope: &Scope,
        name: &str,
        shape: [i64; 2],
        dim: i64,
        init: Init,
    ) -> Result<Self> {
        let weight = scope.shared_param(name, &[shape[0] * shape[1], dim], init)?;
        Ok(Self { weight, shape })
    }

    /// `[tasks, dim]` to `[tasks, rows, columns]`.
    pub(crate) fn forward(&self, embeddings: &Tensor) -> Tensor {
        embeddings.matmul(&self.weight.tr()).view([-1, self.shape[0], self.shape[1]])
    }
}

/// A bias of a bottleneck.
#[derive(Debug)]
pub(crate) enum Bias {
    /// `[extent]`.
    Layer(Tensor),
    /// `[1, extent]` for each embedding.
    Generated(Matrix),
}

impl Bias {
    /// Makes `hyper_<side>.bias` at `place`, zeros, or finds or makes `<side>.bias` in
    /// `hypernetworks`.
    pub(crate) fn new(
        kind: HyperBias,
        place: &HyperSite,
        hypernetworks: &Scope,
        side: &str,
        [extent, dim]: [i64; 2],
        init: Init,
    ) -> Result<Self> {
        Ok(match kind {
            HyperBias::Layer => {
                let scope = place.scope.pp(format!("hyper_{side}"));
                Bias::Layer(scope.param("bias", &[extent], Init::ZEROS)?)
            }
            HyperBias::Generated => {
                let name = format!("{side}.bias");
                Bias::Generated(Matrix::new(hypernetworks, &name, [1, extent], dim, init)?)
            }
        })
    }

    /// `[tasks, dim]` to `[tasks, extent]`, or `[1, extent]` where no task has its own.
    pub(crate) fn forward(&self, embeddings: &Tensor) -> Tensor {
        match self {
            Bias::Layer(bias) => bias.unsqueeze(0),
            Bias::Generated(matrix) => matrix.forward(embeddings).squeeze_dim(1),
        }
    }
}
