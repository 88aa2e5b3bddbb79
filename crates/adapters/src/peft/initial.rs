//! The first factors of adapters that take them out of the weight they adapt.
//!
//! - PiSSA (Meng, Wang and Zhang, NeurIPS 2024, arXiv 2404.02948): with `W = U S V^T`,
//!   `B0 = U_r sqrt(S_r / s)` and `A0 = sqrt(S_r / s) V_r^T`.
//! - OLoRA (Büyükakyüz 2024, arXiv 2406.01775): with `W = Q R`, `B0 = Q_r` and `A0 = R_r`.
//!
//! The weight becomes `W - s B0 A0`. It is computed in float32 and stored in the type of `W`, as in
//! PEFT, which does this anew whenever it loads such an adapter.

use polyptych_tensor::{Kind, Tensor};

use super::config::InitLoraWeights;
use crate::error::Result;

/// `weight`, `[out, in]`, without the first factors of `rank` that `init` makes of it; float64.
///
/// # Errors
/// A decomposition that fails, such as that of a weight with numbers that are not finite.
pub(super) fn without_first_factors(
    weight: &Tensor,
    init: InitLoraWeights,
    rank: i64,
    scaling: f64,
) -> Result<Tensor> {
    let wide = weight.to_kind(Kind::Float);
    let rank = rank.min(wide.size()[0]).min(wide.size()[1]);
    let first = match init {
        InitLoraWeights::Unchanged => return Ok(weight.to_kind(Kind::Double)),
        InitLoraWeights::Pissa => singular(&wide, rank, scaling),
        InitLoraWeights::Olora => orthogonal(&wide, rank),
    };
    let (a, b) = first.map_err(polyptych_tensor::Error::from)?;
    let rest = wide - (b * scaling).matmul(&a);
    Ok(rest.to_kind(weight.kind()).to_kind(Kind::Double))
}

fn singular(
    weight: &Tensor,
    rank: i64,
    scaling: f64,
) -> std::result::Result<(Tensor, Tensor), polyptych_tensor::TchError> {
    let (u, s, v) = weight.f_svd(true, true)?;
    let root = (s.narrow(0, 0, rank) / scaling).sqrt();
    let a = root.unsqueeze(1) * v.narrow(1, 0, rank).tr();
    let b = u.narrow(1, 0, rank) * root.unsqueeze(0);
    Ok((a, b))
}

fn orthogonal(
    weight: &Tensor,
    rank: i64,
) -> std::result::Result<(Tensor, Tensor), polyptych_tensor::TchError> {
    let (q, r) = Tensor::f_linalg_qr(weight, "reduced")?;
    Ok((r.narrow(0, 0, rank), q.narrow(1, 0, rank)))
}
