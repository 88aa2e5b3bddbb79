//! `[balancer]` of a recipe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::BalancerConfig;
use crate::balancers::balancer::{Aggregator, Balancer, refused};
use crate::balancers::loss::ew::Ew;
use crate::balancers::part::{Method, PrivateGrad};

/// Which loss weighting and which gradient aggregation a run has.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BalancerRecipe {
    /// A balancer of kind `loss`; `ew` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<BalancerConfig>,
    /// A balancer of kind `gram` or `rows`; a plain sum of weighted losses when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient: Option<BalancerConfig>,
    /// How the aggregator weights a task's own parameters; what the listing says when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_grad: Option<PrivateGrad>,
}

impl BalancerRecipe {
    /// Checks everything and makes the balancer of `num_tasks` tasks.
    ///
    /// # Errors
    /// Names the field, what it must be and what it is.
    pub fn init(&self, num_tasks: usize) -> Result<Balancer> {
        let loss = self.loss.clone().unwrap_or(Ew::default().into());
        let Method::Loss(weighting) = loss.init(num_tasks)? else {
            return Err(refused("loss", "a balancer of kind loss", loss.name()));
        };
        let aggregator =
            self.gradient.as_ref().map(|config| aggregator(config, num_tasks)).transpose()?;
        let private = self.private(&aggregator)?;
        Ok(Balancer::new(num_tasks, weighting, aggregator, private))
    }

    fn private(&self, aggregator: &Option<Aggregator>) -> Result<PrivateGrad> {
        let key = "private_grad";
        match (aggregator, self.private_grad) {
            (None, Some(_)) => Err(refused(key, "none without a gradient aggregator", "one")),
            (Some(Aggregator::Gradients(_)), Some(PrivateGrad::Weighted)) => {
                Err(refused(key, "unit, as aggregators of kind rows have no weights", "weighted"))
            }
            (_, Some(asked)) => Ok(asked),
            (_, None) => Ok(self.gradient.as_ref().map_or(PrivateGrad::Unit, |g| g.private_grad())),
        }
    }
}

fn aggregator(config: &BalancerConfig, num_tasks: usize) -> Result<Aggregator> {
    match config.init(num_tasks)? {
        Method::Gram(aggregator) => Ok(Aggregator::Gram(aggregator)),
        Method::Gradients(aggregator) => Ok(Aggregator::Gradients(aggregator)),
        Method::Loss(_) => {
            Err(refused("gradient", "a balancer of kind gram or rows", config.name()))
        }
    }
}
