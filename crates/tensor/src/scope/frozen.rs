//! What becomes of parameters that do not train: one for several names, bytes in their place,
//! linear maps in other forms.

use tch::Tensor;

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

    /// Keeps `bytes` in the place of the numbers of the frozen parameter `name`, for a model that
    /// reads them in another form.
    ///
    /// # Errors
    /// A name that does not exist, or another shape.
    pub fn replace_frozen(&self, name: &str, bytes: &Tensor) -> Result<()> {
        let mut entries = self.entries.borrow_mut();
        let entry =
            entries.get_mut(name).ok_or_else(|| Error::UnknownName { name: name.into() })?;
        let (expected, found) = (entry.tensor.size(), bytes.size());
        if expected != found {
            let expected = format!("{expected:?}");
            return Err(Error::Shape { key: name.into(), expected, found });
        }
        entry.tensor = entry.tensor.set_requires_grad(false);
        entry.tensor.set_data(bytes);
        entry.tied.iter_mut().for_each(|own| own.set_data(bytes));
        Ok(())
    }
}

impl Scope {
    /// Notes how the linear map that stands here is computed.
    pub(crate) fn register_linear(&self, form: LinearForm) {
        self.store.linears.borrow_mut().insert(self.path.clone(), form);
    }
}
