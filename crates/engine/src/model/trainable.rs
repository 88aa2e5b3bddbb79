//! Which parameters of a model train.

use std::collections::BTreeSet;

use polyptych_tensor::{Kind, Store};

use crate::model::task::Task;
use crate::model::text::TextTrunk;
use crate::model::trunk::Trunk;

/// The trainable set of a model, as it was built.
#[derive(Debug)]
pub(crate) struct Trainable {
    /// Names in the store of what the method never trains.
    frozen: BTreeSet<String>,
    /// Names of what the run trains.
    trained: BTreeSet<String>,
}

impl Trainable {
    /// What trains in `store`, which has `trunks`, `text` and the heads of `tasks`, where the tasks at
    /// `learning` learn: all that the method trains, or only what such a task owns if some do not.
    pub(crate) fn new(
        store: &Store,
        trunks: &[Trunk],
        text: Option<&TextTrunk>,
        tasks: &[Task],
        learning: &[usize],
    ) -> Self {
        let frozen = trunks.iter().flat_map(Trunk::frozen);
        let frozen = frozen.chain(text.into_iter().flat_map(TextTrunk::frozen));
        let frozen: BTreeSet<String> = frozen.map(str::to_owned).collect();
        let learns = |name: &str| {
            let task = owner(name, trunks, text);
            let index = tasks.iter().position(|known| Some(known.spec.name.as_str()) == task);
            index.is_some_and(|index| learning.contains(&index))
        };
        let all = learning.len() == tasks.len();
        let names = store.tensors().into_iter().map(|(name, _)| name);
        let trained = names.filter(|name| !frozen.contains(name) && (all || learns(name)));
        Self { trained: trained.collect(), frozen }
    }

    /// Makes exactly these parameters of `store` trainable.
    pub(crate) fn apply(&self, store: &Store) {
        store.set_trainable(|name| self.trained.contains(name));
    }

    /// Stores what the method never trains as `kind`. What an extended run has trained stays as
    /// exact as it was.
    pub(crate) fn store_frozen_as(&self, store: &Store, kind: Kind) {
        store.set_trainable(|name| !self.frozen.contains(name));
        store.store_frozen_as(kind);
        self.apply(store);
    }
}

/// The task that alone depends on the parameter `name`.
fn owner<'n>(name: &'n str, trunks: &'n [Trunk], text: Option<&'n TextTrunk>) -> Option<&'n str> {
    let of_head = || name.strip_prefix("heads.")?.split('.').next();
    let of_trunk = trunks.iter().find_map(|trunk| trunk.owner_of(name));
    of_trunk.or_else(|| text?.owner_of(name)).or_else(of_head)
}
