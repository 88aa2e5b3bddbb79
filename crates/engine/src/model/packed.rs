//! Matrices in the order in which products read them.

use polyptych_tensor::{LinearForm, PackedWeight};

use crate::Model;

impl Model {
    /// Packs the matrices of the trunks' plain maps for good, where this machine's products read
    /// packed ones: a pass through the model no longer does so, and its outputs stay the same to the
    /// last bit. Nothing else keeps the numbers, so such a model can only be run.
    ///
    /// Matrices that lie in another type than the model computes in, as those do that trained in
    /// bfloat16, are cast in every pass and stay as they are.
    pub fn pack_linear_maps(&self) {
        for (name, weight) in self.store.tensors() {
            let map = name.strip_suffix(".weight").and_then(|map| self.store.linear(map));
            let as_it_is = |form: &LinearForm| form.int8().is_none() && weight.kind() == self.kind;
            let Some(form) = map.filter(as_it_is) else { continue };
            let Some(packed) = PackedWeight::new(&weight) else { continue };
            if self.store.drop_frozen(&name).is_ok() {
                form.set_packed(packed);
            }
        }
    }
}
