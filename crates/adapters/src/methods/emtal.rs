//! EMTAL's MoEfied LoRA with a router that fades (Zhong et al., NeurIPS 2024, arXiv 2501.06884).
//!
//! The hidden units of every MLP form `E` experts: contiguous blocks of equal length, once
//! [`moefy`](crate::moefy) has sorted them. With `x` the MLP's input and `u = fc1(x)`, LoRA included,
//!
//! ```text
//! g = softmax(W_r x / temperature)          router, one gate per expert and token
//! c = (1 - alpha) E g + alpha               alpha rises from 0 to 1: the router fades
//! y = fc2(gelu(c_e u_e))                    expert e's units share the factor c_e
//! ```
//!
//! All experts are always active. LoRA stands at `qkv`, `proj`, `fc1` and `fc2`, shared by all tasks
//! and without a scale; both of its factors start at `N(0, 0.02^2)`. At `alpha = 1` the router has no
//! effect and the model merges into a plain transformer.
//!
//! Where paper and published code differ, the code is followed, since the reported numbers are its:
//! LoRA at the attention too, one pair of factors for all experts, fading from the first step.

mod config;
mod fading;
mod router;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Gate, Observed, Parameter, ParameterKinds, Plan, Projection, Result as TensorResult, Scope,
    Site, Tensors,
};

pub use config::{EmtalConfig, Experts};
pub use fading::Fading;
use router::{Router, Seen};

use crate::blocks::low_rank::LowRankInit;
use crate::error::Result;
use crate::experts::kmeans::KMeansConfig;
use crate::method::{Form, Method};
use crate::methods::lora::Lora;
use crate::peft::factors::PeftFactors;

/// Standard deviation of the initial factors, as published.
const INIT_STD: f64 = 0.02;

impl Part for EmtalConfig {
    const NAME: &'static str = "emtal";
    const SUMMARY: &'static str = "MoEfied LoRA with a router that fades";

    fn example() -> Self {
        Self { num_experts: 4, ..Self::default() }
    }
}

impl Method for EmtalConfig {
    fn plan(&self, _tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(Emtal::new(self.clone(), form)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*lora_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has one router and one space of labels for all tasks")
    }

    fn experts(&self) -> Option<(usize, &KMeansConfig)> {
        match &self.experts {
            Experts::BalancedKmeans(config) => Some((self.num_experts as usize, config)),
            Experts::AsStored {} => None,
        }
    }

    fn in_peft(&self, tensors: &Tensors) -> Option<Result<PeftFactors>> {
        Some(PeftFactors::new(self.lora().peft_settings(false), tensors))
    }
}

/// EMTAL as a plan. See [`EmtalConfig`].
#[derive(Debug)]
pub struct Emtal {
    config: EmtalConfig,
    form: Form,
    lora: Lora,
    /// What the routers blend with: 0 leaves them alone, 1 removes them. A cell that all routers
    /// read, since it changes from step to step.
    alpha: Rc<Cell<f64>>,
    /// What every router notes in a forward pass, for [`Plan::observed`].
    seen: RefCell<Vec<(String, Seen)>>,
}

impl Emtal {
    /// Checks `config` and makes the plan.
    ///
    /// # Errors
    /// As [`EmtalConfig::validate`].
    pub fn new(config: EmtalConfig, form: Form) -> Result<Self> {
        config.validate()?;
        let lora = Lora::with_init(config.lora(), form, LowRankInit::Normal(INIT_STD))?;
        let (alpha, seen) = (Rc::new(Cell::new(0.0)), RefCell::default());
        Ok(Self { config, form, lora, alpha, seen })
    }
}

impl Plan for Emtal {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        self.lora.projection(scope, site)
    }

    fn gate(&self, scope: &Scope, fc1: &Site) -> TensorResult<Option<Box<dyn Gate>>> {
        if self.form == Form::Merged {
            return Ok(None);
        }
        let path = fc1.path.trim_end_matches(".fc1").to_owned();
        let router = Router::new(&scope.adapter(), fc1, &self.config, self.alpha.clone())?;
        self.seen.borrow_mut().push((path, router.seen()));
        Ok(Some(Box::new(router)))
    }

    fn set_progress(&self, step: u64, steps: u64) {
        if !self.config.keep_router {
            self.alpha.set(self.config.fading.alpha(step, steps));
        }
    }

    fn unmergeable(&self) -> Option<String> {
        let alpha = self.alpha.get();
        (self.form == Form::Adapted && alpha < 1.0).then(|| match self.config.keep_router {
            true => "the router stays".to_owned(),
            false => format!("the router has faded to {alpha:.3} of 1"),
        })
    }

    fn observed(&self) -> Observed {
        let mut observed = Observed::new();
        for (path, seen) in self.seen.borrow().iter() {
            if let Some(routing) = seen.take() {
                observed.push((format!("{path}.load"), routing.load));
                observed.push((format!("{path}.entropy"), routing.entropy));
            }
        }
        observed
    }

    fn check(&self, sites: &[Site], parameters: &[Parameter]) -> TensorResult<()> {
        self.lora.check(sites, parameters)
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.lora.trains(kinds)
    }

    fn merge(&self, sites: &[Site], tensors: &Tensors) -> TensorResult<Tensors> {
        let mut merged = self.lora.merge(sites, tensors)?;
        merged.retain(|name, _| !name.ends_with(router::WEIGHT));
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(keep_router: bool) -> Emtal {
        Emtal::new(EmtalConfig { keep_router, ..EmtalConfig::default() }, Form::Adapted).unwrap()
    }

    #[test]
    fn a_plan_says_until_when_it_must_not_merge() {
        let fades = plan(false);
        assert_eq!(fades.unmergeable().unwrap(), "the router has faded to 0.000 of 1");
        fades.set_progress(25, 100);
        assert_eq!(fades.unmergeable().unwrap(), "the router has faded to 0.500 of 1");
        fades.set_progress(50, 100);
        assert_eq!(fades.unmergeable(), None);
        let stays = plan(true);
        stays.set_progress(100, 100);
        assert_eq!(stays.unmergeable().unwrap(), "the router stays");
        let merged = Emtal::new(EmtalConfig::default(), Form::Merged).unwrap();
        assert_eq!(merged.unmergeable(), None);
    }
}
