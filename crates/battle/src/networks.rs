//! A policy and its mixer in one store.

use polyptych_tensor::{Device, Store, no_grad};

use crate::error::Result;
use crate::mixer::Mixer;
use crate::policy::Policy;
use crate::settings::LearnerConfig;

/// A policy with its mixer.
pub(crate) struct Networks {
    pub(crate) store: Store,
    pub(crate) policy: Policy,
    pub(crate) mixer: Mixer,
}

impl Networks {
    pub(crate) fn new(settings: &LearnerConfig) -> Result<Self> {
        let store = Store::new(Device::Cpu);
        let policy = Policy::new(&store.root().pp("policy"), settings.policy)?;
        let mixer = Mixer::new(&store.root().pp("mixer"), settings.mixer)?;
        Ok(Self { store, policy, mixer })
    }

    /// Takes the values of `other`.
    pub(crate) fn follow(&self, other: &Self) {
        let pairs = self.store.tensors().into_iter().zip(other.store.tensors());
        no_grad(|| pairs.for_each(|((_, own), (_, new))| own.shallow_clone().copy_(&new)));
    }
}
