//! AdaTask's line of the listing (Yang et al., AAAI 2023, arXiv 2211.15055).
//!
//! It keeps moments of every task's gradients, so it is an optimiser: `polyptych_tensor::optim` has
//! it, and recipes choose it as `train.optimiser`.

use crate::balancers::part::{BalancerInfo, BalancerKind, PrivateGrad};

pub(crate) const ADATASK: BalancerInfo = BalancerInfo {
    name: "adatask",
    kind: BalancerKind::Optimiser,
    needs: "rows; is chosen as train.optimiser",
    cost: "T backwards, T x P numbers, 2T x P moments",
    scale: "own",
    private_grad: PrivateGrad::Unit,
    source: "Yang et al., AAAI 2023, arXiv 2211.15055",
};
