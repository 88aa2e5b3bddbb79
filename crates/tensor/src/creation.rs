//! Parameters in the order of their creation.

use tch::Tensor;

use crate::scope::Store;

impl Store {
    /// As [`Store::trainable`], in the order of their creation, which is that of a forward pass but
    /// for what layers of several stages share.
    pub fn trainable_by_creation(&self) -> Vec<(String, Tensor)> {
        let mut all = Vec::new();
        self.for_each(|name, entry| {
            if entry.tensor.requires_grad() {
                all.push((entry.created_after, name.to_owned(), entry.tensor.shallow_clone()));
            }
        });
        all.sort_by_key(|(created_after, ..)| *created_after);
        all.into_iter().map(|(_, name, tensor)| (name, tensor)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tch::Device;

    use super::*;
    use crate::init::Init;

    #[test]
    fn creation_is_remembered() {
        let store = Store::new(Device::Cpu);
        for name in ["patch_embed", "blocks", "head"] {
            let _ = store.root().param(name, &[1], Init::ZEROS).unwrap();
        }
        let names =
            |all: Vec<(String, Tensor)>| all.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(names(store.trainable()), ["blocks", "head", "patch_embed"]);
        assert_eq!(names(store.trainable_by_creation()), ["patch_embed", "blocks", "head"]);
    }
}
