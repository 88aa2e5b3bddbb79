//! Matrices in the order in which products read them.

use polyptych_tensor::PackedWeight;

use crate::Model;

impl Model {
    /// Packs the matrices of the trunks' plain maps for good, where this machine's products read
    /// packed ones: a pass through the model no longer does so, and its outputs stay the same to the
    /// last bit. Nothing else keeps the numbers, so such a model can only be run.
    pub fn pack_linear_maps(&self) {
        for (name, weight) in self.store.tensors() {
            let map = name.strip_suffix(".weight").and_then(|map| self.store.linear(map));
            let Some(form) = map.filter(|form| form.int8().is_none()) else { continue };
            let Some(packed) = PackedWeight::new(&weight) else { continue };
            if self.store.drop_frozen(&name).is_ok() {
                form.set_packed(packed);
            }
        }
    }
}
