//! The down- and the up-projection of one adapter, shared by all tasks, in each of their forms.
//!
//! Either side is a chain of matrices `[out, in]`; the forms differ in what stands in the chains.

use polyptych_kernels::task_up;
use polyptych_tensor::{Error, Init, Result, Scope, Site, Tensor, Tensors, cast};

use super::config::{Projections, VmtAdapterConfig};
use crate::blocks::tensors::take;
use crate::blocks::width::Bottleneck;

/// Matrices and biases of an adapter.
#[derive(Debug)]
pub(super) struct Pair {
    matrices: Matrices,
    /// `[k]`.
    down_bias: Tensor,
    /// `[d]`.
    pub(super) up_bias: Tensor,
}

#[derive(Debug)]
enum Matrices {
    /// `[k, d]` and `[d, k]`.
    Separate { down: Tensor, up: Tensor },
    /// `[k, d]`.
    Tied { down: Tensor },
    /// `[d, rank]`, `[k, rank]` and `[rank, k]`.
    SharedCore { core: Tensor, down: Tensor, up: Tensor },
}

impl Pair {
    /// Makes `vmt_down`, `vmt_up` and, where there is one, `vmt_core` below `scope`.
    ///
    /// `W_down` and the core are `U(-1/sqrt(in), 1/sqrt(in))`; what ends the chain of the
    /// up-projection is 0 but for a tied pair, and so are the biases.
    pub(super) fn new(scope: &Scope, form: Projections, [d, k]: [i64; 2]) -> Result<Self> {
        let (down, up) = (scope.pp("vmt_down"), scope.pp("vmt_up"));
        let matrices = match form {
            Projections::Separate => Matrices::Separate {
                down: down.param("weight", &[k, d], Init::fan_in(d))?,
                up: up.param("weight", &[d, k], Init::ZEROS)?,
            },
            Projections::Tied => {
                Matrices::Tied { down: down.param("weight", &[k, d], Init::fan_in(d))? }
            }
            Projections::SharedCore { rank } => Matrices::SharedCore {
                core: scope.pp("vmt_core").param("weight", &[d, rank], Init::fan_in(d))?,
                down: down.param("weight", &[k, rank], Init::fan_in(rank))?,
                up: up.param("weight", &[rank, k], Init::ZEROS)?,
            },
        };
        let down_bias = down.param("bias", &[k], Init::ZEROS)?;
        let up_bias = up.param("bias", &[d], Init::ZEROS)?;
        Ok(Self { matrices, down_bias, up_bias })
    }

    /// `W_down u + b_down`: `[.., d]` to `[.., k]`.
    pub(super) fn down(&self, u: &Tensor) -> Tensor {
        let chain = match &self.matrices {
            Matrices::Separate { down, .. } | Matrices::Tied { down } => vec![down.shallow_clone()],
            Matrices::SharedCore { core, down, .. } => vec![core.tr(), down.shallow_clone()],
        };
        let (last, first) = chain.split_last().expect("a chain has a matrix");
        let x = first.iter().fold(u.shallow_clone(), |x, w| linear(&x, w, None));
        linear(&x, last, Some(&self.down_bias))
    }

    fn up_chain(&self) -> Vec<Tensor> {
        match &self.matrices {
            Matrices::Separate { up, .. } => vec![up.shallow_clone()],
            Matrices::Tied { down } => vec![down.tr()],
            Matrices::SharedCore { core, up, .. } => vec![up.shallow_clone(), core.shallow_clone()],
        }
    }

    /// `W_up h + b_up`: `[.., k]` to `[.., d]`.
    pub(super) fn up(&self, h: &Tensor) -> Tensor {
        let chain = self.up_chain();
        let x = chain.iter().fold(h.shallow_clone(), |x, w| linear(&x, w, None));
        x + cast(&self.up_bias, h.kind())
    }

    /// `W_up`, `[d, k]`, and `b_up`, `[d]`.
    pub(super) fn up_matrix(&self) -> (Tensor, &Tensor) {
        let chain = self.up_chain();
        let whole = chain.iter().skip(1).fold(chain[0].shallow_clone(), |x, w| w.matmul(&x));
        (whole, &self.up_bias)
    }

    /// `W_up h_t` for all tasks: `[tasks, rows, k]` to `[tasks, rows, d]`.
    pub(super) fn up_tasks(&self, h: &Tensor) -> Tensor {
        self.up_chain().iter().fold(h.shallow_clone(), |h, w| {
            let each = cast(w, h.kind()).unsqueeze(0).expand([h.size()[0], -1, -1], false);
            task_up(&h, None, &each)
        })
    }
}

/// `W x + b` in the type of `x`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    polyptych_kernels::linear(x, &cast(weight, x.kind()), bias.map(|b| cast(b, x.kind())).as_ref())
}

/// Takes both chains below `path` out of `tensors`, multiplied out: `[k, d]` and `[d, k]`.
pub(super) fn multiply(
    tensors: &mut Tensors,
    path: &str,
    form: Projections,
) -> Result<(Tensor, Tensor)> {
    let mut matrix = |name: &str| take(tensors, &format!("{path}.{name}.weight"));
    let down = matrix("vmt_down")?;
    Ok(match form {
        Projections::Separate => (down, matrix("vmt_up")?),
        Projections::Tied => {
            let up = down.tr().contiguous();
            (down, up)
        }
        Projections::SharedCore { .. } => {
            let (core, up) = (matrix("vmt_core")?, matrix("vmt_up")?);
            (down.matmul(&core.tr()), core.matmul(&up))
        }
    })
}

/// The width of the bottleneck beside `mlp`.
///
/// # Errors
/// A reduction that leaves nothing, a core that is as wide as the bottleneck.
pub(super) fn bottleneck(config: &VmtAdapterConfig, mlp: &Site) -> Result<i64> {
    let d = mlp.in_features;
    let wrong = |key: &str, expected: String, found: i64| {
        let key = format!("{}: {key}", mlp.path);
        Err(Error::Config { key, expected, found: found.to_string() })
    };
    let k = match config.bottleneck {
        Bottleneck::Fixed(k) => k,
        Bottleneck::Reduction(by) if by > d => {
            return wrong("bottleneck.reduction", format!("at most {d}"), by);
        }
        Bottleneck::Reduction(by) => d / by,
    };
    match config.projections {
        Projections::SharedCore { rank } if rank >= k => {
            wrong("projections.shared_core.rank", format!("below the bottleneck's {k}"), rank)
        }
        _ => Ok(k),
    }
}
