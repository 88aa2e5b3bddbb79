//! How does one policy serve teams of any size?
//!
//! UPDeT's decoupled transformer ([`Policy`]), trained by value decomposition ([`train`]) on a small
//! [`Battle`] of two teams on a grid, and measured on teams of sizes that it never saw ([`win_rate`]).
//! Nothing else of the workspace depends on this crate.

mod battle;
mod config;
mod entities;
mod error;
mod evaluate;
mod learner;
mod mixer;
mod networks;
mod place;
mod policy;
mod replay;
mod rule;
mod settings;
#[cfg(test)]
mod testing;
mod units;

pub use battle::{Battle, Outcome};
pub use config::BattleConfig;
pub use entities::{FEATURES, Seen};
pub use error::{Error, Result};
pub use evaluate::{Player, win_rate};
pub use learner::train;
pub use mixer::{Mixer, MixerKind, Qmix};
pub use policy::{Policy, PolicyConfig};
pub use settings::LearnerConfig;
pub use units::{BASIC_ACTIONS, NOTHING, STAY, Unit};
