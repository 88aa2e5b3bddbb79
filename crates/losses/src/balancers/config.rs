//! Every balancer, by its name in recipes.

use super::part::BalancerPart;
use super::{gradient, loss};

polyptych_registry::parts! {
    /// A balancer and its constants: `{ name = "cagrad", c = 0.4 }`.
    pub struct BalancerConfig(dyn BalancerPart), kind = "balancer", tag = "name";
    loss::ew::Ew,
    loss::uw::Uw,
    loss::dwa::Dwa,
    loss::rlw::Rlw,
    loss::imtl_l::ImtlL,
    loss::famo::Famo,
    loss::gls::Gls,
    loss::stch::Stch,
    loss::log_loss::LogLoss,
    loss::go4align::Go4Align,
    loss::gradnorm::Gradnorm,
    loss::auto_lambda::AutoLambda,
    gradient::pcgrad::Pcgrad,
    gradient::gradvac::Gradvac,
    gradient::mgda::Mgda,
    gradient::mgda_ub::MgdaUb,
    gradient::cagrad::Cagrad,
    gradient::imtl_g::ImtlG,
    gradient::nash_mtl::NashMtl,
    gradient::fairgrad::Fairgrad,
    gradient::aligned_mtl::AlignedMtl,
    gradient::upgrad::Upgrad,
    gradient::dualproj::Dualproj,
    gradient::conflict_free::ConFig,
    gradient::krum::Krum,
    gradient::sdmgrad::Sdmgrad,
    gradient::modo::Modo,
    gradient::ferero::Ferero,
    gradient::graddrop::Graddrop,
    gradient::moco::Moco,
    gradient::db_mtl::DbMtl,
    gradient::trimmed_mean::TrimmedMean,
    gradient::excess_mtl::ExcessMtl,
}
