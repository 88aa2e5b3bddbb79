//! What each balancer needs and costs.

use serde::Serialize;

use crate::balancers::PrivateGrad;

/// What a balancer sees, and so what the engine must compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BalancerKind {
    /// Losses: one backward pass.
    Loss,
    /// Inner products of the tasks' gradients: a backward pass for each task.
    Gram,
    /// Inner products of the gradients by what all tasks read: a pass through each head, one
    /// through the trunk.
    Features,
    /// The tasks' gradients: the same, and work that grows with the parameters.
    Rows,
    /// The same, and it takes the optimiser's place: `train.optimiser`, not `balancer`.
    Optimiser,
}

/// One line of the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BalancerInfo {
    /// Name in recipes.
    pub name: &'static str,
    /// What it sees.
    pub kind: BalancerKind,
    /// What it needs, in words.
    pub needs: &'static str,
    /// Backward passes and memory, for `T` tasks and `P` shared trainable parameters.
    pub cost: &'static str,
    /// Whether equal gradients add up (`sum`), average (`mean`) or neither (`own`).
    pub scale: &'static str,
    /// How a task's own parameters are weighed unless the recipe says otherwise.
    pub private_grad: PrivateGrad,
    /// Paper.
    pub source: &'static str,
}

/// All balancers: those of losses, of inner products, of rows.
pub fn balancers() -> &'static [BalancerInfo] {
    &BALANCERS
}

const ONE: &str = "1 backward";
const EACH: &str = "T backwards, T x P numbers";
const HISTORY: &str = "T backwards, 2T x P numbers";

const fn loss(
    name: &'static str,
    needs: &'static str,
    cost: &'static str,
    scale: &'static str,
    source: &'static str,
) -> BalancerInfo {
    let (kind, private_grad) = (BalancerKind::Loss, PrivateGrad::Weighted);
    BalancerInfo { name, kind, needs, cost, scale, private_grad, source }
}

const fn gram(
    name: &'static str,
    needs: &'static str,
    scale: &'static str,
    private_grad: PrivateGrad,
    source: &'static str,
) -> BalancerInfo {
    BalancerInfo { name, kind: BalancerKind::Gram, needs, cost: EACH, scale, private_grad, source }
}

const fn rows(
    name: &'static str,
    needs: &'static str,
    cost: &'static str,
    scale: &'static str,
    source: &'static str,
) -> BalancerInfo {
    let (kind, private_grad) = (BalancerKind::Rows, PrivateGrad::Unit);
    BalancerInfo { name, kind, needs, cost, scale, private_grad, source }
}

const BALANCERS: [BalancerInfo; 27] = {
    use PrivateGrad::{Unit, Weighted};
    let extra = "1 backward, 1 extra forward";
    [
        loss("ew", "losses", ONE, "sum", "fixed weights"),
        loss("uw", "losses", ONE, "own", "Kendall et al., CVPR 2018, arXiv 1705.07115"),
        loss("dwa", "losses, epoch means", ONE, "sum", "Liu et al., CVPR 2019, arXiv 1803.10704"),
        loss("rlw", "losses", ONE, "mean", "Lin et al., TMLR 2022, arXiv 2111.10603"),
        loss("imtl_l", "losses", ONE, "own", "Liu et al., ICLR 2021, IMTL"),
        loss(
            "famo",
            "losses before and after",
            extra,
            "mean",
            "Liu et al., NeurIPS 2023, arXiv 2306.03792",
        ),
        loss("gls", "losses", ONE, "own", "Chennupati et al., CVPRW 2019, arXiv 1904.08492"),
        loss("stch", "losses, epoch means", ONE, "own", "Lin et al., ICML 2024, arXiv 2402.19078"),
        loss("log_loss", "losses", ONE, "own", "Lin et al., arXiv 2308.12029, loss part"),
        loss(
            "gradnorm",
            "losses, norms of gradients of the last shared block",
            "1 backward, T short ones",
            "sum",
            "Chen et al., ICML 2018, arXiv 1711.02257",
        ),
        loss(
            "auto_lambda",
            "losses, a second batch",
            "3 backwards, 5 forwards, a copy of what trains",
            "own",
            "Liu et al., TMLR 2022, arXiv 2202.03091",
        ),
        gram("pcgrad", "Gram matrix", "sum", Unit, "Yu et al., NeurIPS 2020, arXiv 2001.06782"),
        gram("gradvac", "Gram matrix", "sum", Unit, "Wang et al., ICLR 2021, arXiv 2010.05874"),
        gram(
            "mgda",
            "Gram matrix",
            "mean",
            Weighted,
            "Sener, Koltun, NeurIPS 2018, arXiv 1810.04650",
        ),
        BalancerInfo {
            name: "mgda_ub",
            kind: BalancerKind::Features,
            needs: "Gram matrix of gradients by features that all tasks read",
            cost: "T backwards of heads, 1 of the trunk, T x features numbers",
            scale: "mean",
            private_grad: Weighted,
            source: "Sener, Koltun, NeurIPS 2018, arXiv 1810.04650",
        },
        gram("cagrad", "Gram matrix", "mean", Unit, "Liu et al., NeurIPS 2021, arXiv 2110.14048"),
        gram("imtl_g", "Gram matrix", "mean", Weighted, "Liu et al., ICLR 2021, IMTL"),
        gram(
            "nash_mtl",
            "Gram matrix",
            "own",
            Weighted,
            "Navon et al., ICML 2022, arXiv 2202.01017",
        ),
        gram("fairgrad", "Gram matrix", "own", Weighted, "Ban, Ji, ICML 2024, arXiv 2402.15638"),
        gram(
            "aligned_mtl",
            "Gram matrix",
            "sum",
            Unit,
            "Senushkin et al., CVPR 2023, arXiv 2305.19000",
        ),
        gram("upgrad", "Gram matrix", "mean", Unit, "Quinton, Rey, 2024, arXiv 2406.16232"),
        gram(
            "dualproj",
            "Gram matrix",
            "mean",
            Unit,
            "Lopez-Paz, Ranzato, NeurIPS 2017, arXiv 1706.08840",
        ),
        BalancerInfo {
            name: "sdmgrad",
            kind: BalancerKind::Gram,
            needs: "Gram matrix, two further batches",
            cost: "3T backwards, 3T x P numbers; a third with batches = 1",
            scale: "mean",
            private_grad: Unit,
            source: "Xiao et al., NeurIPS 2023, arXiv 2305.18409",
        },
        rows("graddrop", "rows", EACH, "sum", "Chen et al., NeurIPS 2020, arXiv 2010.06808"),
        rows(
            "moco",
            "rows, losses",
            HISTORY,
            "mean",
            "Fernando et al., ICLR 2023, arXiv 2210.12624",
        ),
        rows("db_mtl", "rows, losses", HISTORY, "own", "Lin et al., arXiv 2308.12029"),
        BalancerInfo {
            name: "adatask",
            kind: BalancerKind::Optimiser,
            needs: "rows; is chosen as train.optimiser",
            cost: "T backwards, T x P numbers, 2T x P moments",
            scale: "own",
            private_grad: Unit,
            source: "Yang et al., AAAI 2023, arXiv 2211.15055",
        },
    ]
};
