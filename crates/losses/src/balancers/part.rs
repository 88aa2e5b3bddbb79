//! What every balancer says about itself.

use polyptych_registry::DynPart;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::gradient::{GradientAggregator, GramAggregator};
use crate::balancers::loss::LossWeighting;

/// A balancer's settings, and all that is special about it.
pub trait BalancerPart: DynPart {
    /// What it sees, and so what the engine must compute.
    fn kind(&self) -> BalancerKind;

    /// Paper; nothing where there is none.
    fn source(&self) -> &'static str {
        ""
    }

    /// Whether equal gradients add up (`sum`), average (`mean`) or neither (`own`).
    fn scale(&self) -> &'static str {
        "own"
    }

    /// What it needs, in words.
    fn needs(&self) -> &'static str {
        self.kind().needs()
    }

    /// Backward passes and memory, for `T` tasks and `P` shared trainable parameters.
    fn cost(&self) -> &'static str {
        self.kind().cost()
    }

    /// How a task's own parameters are weighted unless the recipe says otherwise.
    fn private_grad(&self) -> PrivateGrad {
        self.kind().private_grad()
    }

    /// Whether chance has a part in it.
    fn is_random(&self) -> bool {
        false
    }

    /// Whether `d` is at most a few times as long as the longest task gradient, however strongly
    /// they conflict.
    fn is_bounded(&self) -> bool {
        self.scale() != "own"
    }

    /// Checks the settings and makes the method for `num_tasks` tasks, one at least.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) names the field, its range and what it is.
    fn init(&self, num_tasks: usize) -> Result<Method>;
}

/// A method of one of the three kinds.
#[derive(Debug)]
pub enum Method {
    /// Sees losses.
    Loss(Box<dyn LossWeighting>),
    /// Sees inner products.
    Gram(Box<dyn GramAggregator>),
    /// Sees gradients.
    Gradients(Box<dyn GradientAggregator>),
}

impl Method {
    /// A method that sees losses.
    pub fn loss(weighting: impl LossWeighting + 'static) -> Self {
        Method::Loss(Box::new(weighting))
    }

    /// A method that sees inner products.
    pub fn gram(aggregator: impl GramAggregator + 'static) -> Self {
        Method::Gram(Box::new(aggregator))
    }

    /// A method that sees gradients.
    pub fn gradients(aggregator: impl GradientAggregator + 'static) -> Self {
        Method::Gradients(Box::new(aggregator))
    }

    /// What it sees.
    pub fn kind(&self) -> BalancerKind {
        match self {
            Method::Loss(_) => BalancerKind::Loss,
            Method::Gram(gram) if gram.features().is_some() => BalancerKind::Features,
            Method::Gram(_) => BalancerKind::Gram,
            Method::Gradients(_) => BalancerKind::Gradients,
        }
    }
}

/// What a balancer sees, and so what the engine must compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BalancerKind {
    /// Losses: one backward pass.
    Loss,
    /// Inner products of the task gradients: a backward pass for each task.
    Gram,
    /// Inner products of the gradients by what all tasks read: a pass through each head, one
    /// through the trunk.
    Features,
    /// The tasks' gradients: the same as `Gram`, and work that grows with the parameters.
    #[serde(rename = "rows")]
    Gradients,
    /// The same, and it takes the optimiser's place: `train.optimiser`, not `balancer`.
    Optimiser,
}

impl BalancerKind {
    /// The word for it in listings.
    pub fn name(self) -> &'static str {
        match self {
            BalancerKind::Loss => "loss",
            BalancerKind::Gram => "gram",
            BalancerKind::Features => "features",
            BalancerKind::Gradients => "rows",
            BalancerKind::Optimiser => "optimiser",
        }
    }

    fn needs(self) -> &'static str {
        match self {
            BalancerKind::Loss => "losses",
            BalancerKind::Gram => "Gram matrix",
            BalancerKind::Features => "Gram matrix of gradients by features that all tasks read",
            BalancerKind::Gradients | BalancerKind::Optimiser => "rows",
        }
    }

    fn cost(self) -> &'static str {
        match self {
            BalancerKind::Loss => "1 backward",
            BalancerKind::Features => "T backwards of heads, 1 of the trunk, T x features numbers",
            BalancerKind::Gram | BalancerKind::Gradients | BalancerKind::Optimiser => {
                "T backwards, T x P numbers"
            }
        }
    }

    fn private_grad(self) -> PrivateGrad {
        match self {
            BalancerKind::Loss => PrivateGrad::Weighted,
            _ => PrivateGrad::Unit,
        }
    }
}

/// How a gradient aggregator weights parameters that one task alone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrivateGrad {
    /// The gradient of the task's weighted loss.
    Unit,
    /// That, times the aggregator's weight of the task.
    Weighted,
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
    /// How a task's own parameters are weighted unless the recipe says otherwise.
    pub private_grad: PrivateGrad,
    /// Paper.
    pub source: &'static str,
}
