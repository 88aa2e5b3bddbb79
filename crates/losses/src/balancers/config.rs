//! Which balancer a run has, as a recipe says it.

use serde::{Deserialize, Serialize};

use crate::balancers::aligned_mtl::AlignedMtl;
use crate::balancers::auto_lambda::AutoLambda;
use crate::balancers::cagrad::Cagrad;
use crate::balancers::db_mtl::DbMtl;
use crate::balancers::dualproj::Dualproj;
use crate::balancers::dwa::Dwa;
use crate::balancers::ew::Ew;
use crate::balancers::fairgrad::Fairgrad;
use crate::balancers::famo::Famo;
use crate::balancers::gls::Gls;
use crate::balancers::graddrop::Graddrop;
use crate::balancers::gradnorm::Gradnorm;
use crate::balancers::gradvac::Gradvac;
use crate::balancers::imtl_g::ImtlG;
use crate::balancers::imtl_l::ImtlL;
use crate::balancers::log_loss::LogLoss;
use crate::balancers::mgda::Mgda;
use crate::balancers::mgda_ub::MgdaUb;
use crate::balancers::moco::Moco;
use crate::balancers::nash_mtl::NashMtl;
use crate::balancers::pcgrad::Pcgrad;
use crate::balancers::rlw::Rlw;
use crate::balancers::sdmgrad::Sdmgrad;
use crate::balancers::stch::Stch;
use crate::balancers::upgrad::Upgrad;
use crate::balancers::uw::Uw;
use crate::balancers::{BalancerInfo, GramCombiner, LossBalancer, RowCombiner, balancers};
use crate::{Error, Result};

/// A balancer and its constants: `{ name = "cagrad", c = 0.4 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum BalancerConfig {
    /// Fixed weights.
    Ew(Ew),
    /// Uncertainty weighting.
    Uw(Uw),
    /// Dynamic weight average.
    Dwa(Dwa),
    /// Random loss weighting.
    Rlw(Rlw),
    /// IMTL-L.
    ImtlL(ImtlL),
    /// FAMO.
    Famo(Famo),
    /// Geometric loss strategy.
    Gls(Gls),
    /// Smooth Tchebycheff scalarisation.
    Stch(Stch),
    /// Logarithms of losses.
    LogLoss(LogLoss),
    /// GradNorm.
    Gradnorm(Gradnorm),
    /// Auto-lambda.
    AutoLambda(AutoLambda),
    /// PCGrad.
    Pcgrad(Pcgrad),
    /// Gradient vaccine.
    Gradvac(Gradvac),
    /// MGDA.
    Mgda(Mgda),
    /// MGDA-UB.
    MgdaUb(MgdaUb),
    /// CAGrad.
    Cagrad(Cagrad),
    /// IMTL-G.
    ImtlG(ImtlG),
    /// Nash-MTL.
    NashMtl(NashMtl),
    /// FairGrad.
    Fairgrad(Fairgrad),
    /// Aligned-MTL.
    AlignedMtl(AlignedMtl),
    /// UPGrad.
    Upgrad(Upgrad),
    /// DualProj.
    Dualproj(Dualproj),
    /// SDMGrad.
    Sdmgrad(Sdmgrad),
    /// GradDrop.
    Graddrop(Graddrop),
    /// MoCo.
    Moco(Moco),
    /// DB-MTL.
    DbMtl(DbMtl),
}

/// A balancer of one of the three kinds.
#[derive(Debug)]
pub enum Balancer {
    /// Sees losses.
    Loss(Box<dyn LossBalancer>),
    /// Sees inner products.
    Gram(Box<dyn GramCombiner>),
    /// Sees gradients.
    Rows(Box<dyn RowCombiner>),
}

impl BalancerConfig {
    /// The name in recipes.
    pub fn name(&self) -> &'static str {
        match self {
            BalancerConfig::Ew(_) => "ew",
            BalancerConfig::Uw(_) => "uw",
            BalancerConfig::Dwa(_) => "dwa",
            BalancerConfig::Rlw(_) => "rlw",
            BalancerConfig::ImtlL(_) => "imtl_l",
            BalancerConfig::Famo(_) => "famo",
            BalancerConfig::Gls(_) => "gls",
            BalancerConfig::Stch(_) => "stch",
            BalancerConfig::LogLoss(_) => "log_loss",
            BalancerConfig::Gradnorm(_) => "gradnorm",
            BalancerConfig::AutoLambda(_) => "auto_lambda",
            BalancerConfig::Pcgrad(_) => "pcgrad",
            BalancerConfig::Gradvac(_) => "gradvac",
            BalancerConfig::Mgda(_) => "mgda",
            BalancerConfig::MgdaUb(_) => "mgda_ub",
            BalancerConfig::Cagrad(_) => "cagrad",
            BalancerConfig::ImtlG(_) => "imtl_g",
            BalancerConfig::NashMtl(_) => "nash_mtl",
            BalancerConfig::Fairgrad(_) => "fairgrad",
            BalancerConfig::AlignedMtl(_) => "aligned_mtl",
            BalancerConfig::Upgrad(_) => "upgrad",
            BalancerConfig::Dualproj(_) => "dualproj",
            BalancerConfig::Sdmgrad(_) => "sdmgrad",
            BalancerConfig::Graddrop(_) => "graddrop",
            BalancerConfig::Moco(_) => "moco",
            BalancerConfig::DbMtl(_) => "db_mtl",
        }
    }

    /// What the listing says about it.
    pub fn info(&self) -> &'static BalancerInfo {
        let listed = balancers().iter().find(|info| info.name == self.name());
        listed.expect("a test compares the listing with the names")
    }

    /// Checks the constants and makes the balancer of `num_tasks` tasks.
    ///
    /// # Errors
    /// Names the field, its range and what it is.
    pub fn init(&self, num_tasks: usize) -> Result<Balancer> {
        if num_tasks == 0 {
            let (expected, found) = ("at least one", "none".into());
            return Err(Error::Config { key: "tasks".into(), expected, found });
        }
        Ok(match self.clone() {
            BalancerConfig::Ew(config) => loss(config.init(num_tasks)?),
            BalancerConfig::Uw(config) => loss(config.init(num_tasks)?),
            BalancerConfig::Dwa(config) => loss(config.init(num_tasks)?),
            BalancerConfig::Rlw(config) => loss(config),
            BalancerConfig::ImtlL(config) => loss(config.init(num_tasks)?),
            BalancerConfig::Famo(config) => loss(config.init(num_tasks)?),
            BalancerConfig::Gls(config) => loss(config),
            BalancerConfig::Stch(config) => loss(config.init(num_tasks)?),
            BalancerConfig::LogLoss(config) => loss(config),
            BalancerConfig::Gradnorm(config) => loss(config.init(num_tasks)?),
            BalancerConfig::AutoLambda(config) => loss(config.init(num_tasks)?),
            BalancerConfig::Pcgrad(config) => gram(config),
            BalancerConfig::Gradvac(config) => gram(config.init(num_tasks)?),
            BalancerConfig::Mgda(config) => gram(config),
            BalancerConfig::MgdaUb(config) => gram(config),
            BalancerConfig::Cagrad(config) => gram(config.validate().map(|()| config)?),
            BalancerConfig::ImtlG(config) => gram(config),
            BalancerConfig::NashMtl(config) => gram(config.init(num_tasks)?),
            BalancerConfig::Fairgrad(config) => gram(config.init(num_tasks)?),
            BalancerConfig::AlignedMtl(config) => gram(config.init(num_tasks)?),
            BalancerConfig::Upgrad(config) => gram(config.validate().map(|()| config)?),
            BalancerConfig::Dualproj(config) => gram(config.validate().map(|()| config)?),
            BalancerConfig::Sdmgrad(config) => gram(config.init(num_tasks)?),
            BalancerConfig::Graddrop(config) => rows(config.validate().map(|()| config)?),
            BalancerConfig::Moco(config) => rows(config.init(num_tasks)?),
            BalancerConfig::DbMtl(config) => rows(config.init(num_tasks)?),
        })
    }
}

fn loss(balancer: impl LossBalancer + 'static) -> Balancer {
    Balancer::Loss(Box::new(balancer))
}

fn gram(combiner: impl GramCombiner + 'static) -> Balancer {
    Balancer::Gram(Box::new(combiner))
}

fn rows(combiner: impl RowCombiner + 'static) -> Balancer {
    Balancer::Rows(Box::new(combiner))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::balancers::BalancerKind;
    use crate::balancers::testing::configs;

    fn parse(json: &str) -> Result<BalancerConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn the_listing_has_every_name_once() {
        let named: Vec<&str> = configs().iter().map(BalancerConfig::name).collect();
        let chosen = balancers().iter().filter(|info| info.kind != BalancerKind::Optimiser);
        let listed: Vec<&str> = chosen.map(|info| info.name).collect();
        assert_eq!(named, listed);
        for config in configs() {
            let made = config.init(3).unwrap();
            let kind = match made {
                Balancer::Loss(_) => BalancerKind::Loss,
                Balancer::Gram(gram) if gram.features().is_some() => BalancerKind::Features,
                Balancer::Gram(_) => BalancerKind::Gram,
                Balancer::Rows(_) => BalancerKind::Rows,
            };
            assert_eq!(kind, config.info().kind, "{config:?}");
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(parse(&json).unwrap(), config);
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        let message = parse(r#"{"name": "magic"}"#).unwrap_err();
        assert!(message.contains("unknown variant `magic`"), "{message}");
        for info in configs().iter().map(BalancerConfig::info) {
            let message = parse(&format!(r#"{{"name": "{}", "w": 1}}"#, info.name)).unwrap_err();
            assert!(message.contains("unknown field `w`"), "{}: {message}", info.name);
        }
        let message = parse(r#"{"name": "dwa"}"#).unwrap_err();
        assert!(message.contains("missing field `epoch_steps`"), "{message}");
    }

    #[test]
    fn constants_are_checked() {
        let message = |json: &str| parse(json).unwrap().init(2).unwrap_err().to_string();
        let positive = |key: &str, found: &str| {
            format!("{key}: expected a finite number above 0, found {found}")
        };
        assert_eq!(message(r#"{"name": "uw", "lr": 0.0}"#), positive("lr", "0"));
        assert_eq!(message(r#"{"name": "imtl_l", "lr": -1}"#), positive("lr", "-1"));
        assert_eq!(message(r#"{"name": "famo", "lr": 0}"#), positive("lr", "0"));
        assert_eq!(message(r#"{"name": "fairgrad", "alpha": 0}"#), positive("alpha", "0"));
        assert_eq!(message(r#"{"name": "moco", "gamma": 0}"#), positive("gamma", "0"));
        assert_eq!(message(r#"{"name": "sdmgrad", "lr": 0}"#), positive("lr", "0"));
        let found = message(r#"{"name": "dwa", "epoch_steps": 0}"#);
        assert_eq!(found, "epoch_steps: expected at least 1, found 0");
        assert_eq!(message(r#"{"name": "gradnorm", "lr": 0}"#), positive("lr", "0"));
        assert_eq!(message(r#"{"name": "auto_lambda", "lr": 0}"#), positive("lr", "0"));
        let found = message(r#"{"name": "gradnorm", "start_steps": 0}"#);
        assert_eq!(found, "start_steps: expected at least 1, found 0");
        let found = message(r#"{"name": "auto_lambda", "init": -1}"#);
        assert_eq!(found, "init: expected a number of 0 or more, found -1");
        let found = message(r#"{"name": "sdmgrad", "batches": 2}"#);
        assert_eq!(found, "batches: expected 1 or 3, found 2");
        let found = message(r#"{"name": "graddrop", "leak": 2}"#);
        assert_eq!(found, "leak: expected a number from 0 to 1, found 2");
        let found = message(r#"{"name": "db_mtl", "beta": 1}"#);
        assert_eq!(found, "beta: expected at least 0 and below 1, found 1");
        let found = message(r#"{"name": "nash_mtl", "update_weights_every": 0}"#);
        assert_eq!(found, "update_weights_every: expected at least 1, found 0");
        let found = parse(r#"{"name": "ew"}"#).unwrap().init(0).unwrap_err().to_string();
        assert_eq!(found, "tasks: expected at least one, found none");
    }
}
