//! What becomes of parameters that do not train: one for several names, none at all, linear maps in
//! other forms.

use tch::{Kind, Tensor};

use super::{Scope, Store};
use crate::linear_form::LinearForm;
use crate::{Error, Result};

impl Store {
    /// Makes the frozen parameter `name` one with `common`, so that its numbers exist once, in
    /// memory and in files: who was made with `name` reads the numbers of `common` from now on.
    /// If nothing is called `common` yet, the parameter takes that name.
    ///
    /// # Errors
    /// A name that does not exist, or two shapes.
    pub fn tie(&self, name: &str, common: &str) -> Result<()> {
        let mut entries = self.entries.borrow_mut();
        let size = |name: &str| entries.get(name).map(|entry| entry.tensor.size());
        let unknown = || Error::UnknownName { name: name.into() };
        let (found, kept) = (size(name).ok_or_else(unknown)?, size(common));
        if let Some(expected) = kept.filter(|kept| *kept != found) {
            let expected = format!("{expected:?} of {common}");
            return Err(Error::Shape { key: name.into(), expected, found });
        }
        let mut entry = entries.remove(name).ok_or_else(unknown)?;
        entry.tensor = entry.tensor.set_requires_grad(false);
        let Some(kept) = entries.get_mut(common) else {
            entries.insert(common.into(), entry);
            return Ok(());
        };
        for mut own in entry.tied.into_iter().chain([entry.tensor]) {
            own.set_data(&kept.tensor);
            kept.tied.push(own);
        }
        Ok(())
    }

    /// How the plain linear map `name` of a backbone is computed; nothing where there is no such map.
    pub fn linear(&self, name: &str) -> Option<LinearForm> {
        self.linears.borrow().get(name).cloned()
    }

    /// Gives up the memory of the frozen parameter `name`, for a model that reads its numbers in
    /// another form: its shape stays, and all of it is one zero of int8.
    ///
    /// # Errors
    /// A name that does not exist.
    pub fn drop_frozen(&self, name: &str) -> Result<()> {
        let mut entries = self.entries.borrow_mut();
        let entry =
            entries.get_mut(name).ok_or_else(|| Error::UnknownName { name: name.into() })?;
        let zero = Tensor::zeros([1], (Kind::Int8, entry.tensor.device()));
        let nothing = zero.expand(entry.tensor.size(), false);
        entry.tensor = entry.tensor.set_requires_grad(false);
        entry.tensor.set_data(&nothing);
        entry.tied.iter_mut().for_each(|own| own.set_data(&nothing));
        Ok(())
    }
}

impl Scope {
    /// Notes how the linear map that stands here is computed.
    pub(crate) fn register_linear(&self, form: LinearForm) {
        self.store.linears.borrow_mut().insert(self.path.clone(), form);
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::Linear;

    #[test]
    fn what_is_dropped_keeps_its_shape_and_no_memory() {
        let store = Store::new(Device::Cpu);
        let linear = Linear::new(&store.root().pp("fc1"), 3, 2, false).unwrap();
        store.drop_frozen("fc1.weight").unwrap();
        let (_, kept) = store.tensors().into_iter().next().unwrap();
        for tensor in [&kept, &linear.weight] {
            assert_eq!((tensor.size(), tensor.stride()), (vec![2, 3], vec![0, 0]));
            assert_eq!((tensor.kind(), tensor.requires_grad()), (Kind::Int8, false));
        }
        assert!(store.drop_frozen("fc2.weight").is_err());
    }
}
