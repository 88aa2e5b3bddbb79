//! Linear maps that can be computed in int8, or with a packed matrix.
//!
//! A backbone wraps what a plan puts at its sites ([`quantizable`]); where that is a plain linear
//! map, the [`Store`](crate::Store) knows it by its name ([`Store::linear`](crate::Store::linear)).
//! A map computes as it is until it is calibrated, and until it is given an [`Int8`](crate::Int8) form
//! or a [`PackedWeight`](crate::PackedWeight).

use tch::Tensor;

use crate::{Activations, LinearForm, Narrow, Projection, Scope};

/// `projection`, made at `scope`, as one that can be computed in int8, where it is a plain linear
/// map.
pub fn quantizable(projection: Box<dyn Projection>, scope: &Scope) -> Box<dyn Projection> {
    if projection.linear().is_none() {
        return projection;
    }
    let form = LinearForm::default();
    scope.register_linear(form.clone());
    Box::new(Quantizable { projection, form })
}

/// A plain linear map, and how it is computed now.
#[derive(Debug)]
struct Quantizable {
    projection: Box<dyn Projection>,
    form: LinearForm,
}

impl Quantizable {
    fn bias(&self) -> Option<&Tensor> {
        self.projection.linear().and_then(|linear| linear.bias.as_ref())
    }

    fn in_own_form(&self, x: &Activations, gelu: bool) -> Option<Activations> {
        let matrix = self.form.own_matrix()?;
        Some(x.map(|t| matrix.forward(t, self.bias(), gelu)))
    }

    fn is_watched(&self) -> bool {
        self.form.is_watched()
    }
}

impl Projection for Quantizable {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        if let Some(y) = self.in_own_form(x, false) {
            return y;
        }
        let y = self.projection.forward(x, train);
        if self.is_watched() {
            let streams =
                |a: &Activations| [a.shared(), a.per_task()].map(|t| t.map(Tensor::shallow_clone));
            for (x, y) in streams(x).iter().zip(&streams(&y)) {
                let (Some(x), Some(y)) = (x, y) else { continue };
                self.form.note_input(x);
                self.form.note_error(x, self.bias(), y);
            }
        }
        y
    }

    fn forward_perceptron(
        &self,
        x: &Activations,
        next: &dyn Projection,
        train: bool,
    ) -> Activations {
        match self.in_own_form(x, true) {
            Some(hidden) => next.forward(&hidden, train),
            None if self.is_watched() => {
                next.forward(&self.forward(x, train).map(polyptych_kernels::gelu), train)
            }
            None => self.projection.forward_perceptron(x, next, train),
        }
    }

    fn narrow(&self) -> Option<&dyn Narrow> {
        self.projection.narrow()
    }

    fn linear(&self) -> Option<&crate::Linear> {
        self.projection.linear()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use polyptych_kernels::{Int8Weight, QuantizedInput};
    use tch::{Device, Kind};

    use super::*;
    use crate::{Int8, Linear, NoAdapter, PackedWeight, Plan, Site, SiteKind, Store, no_grad};

    fn store_and_map() -> (Store, Box<dyn Projection>) {
        let store = Store::new(Device::Cpu);
        let site = Site {
            path: "fc1".into(),
            kind: SiteKind::Fc1,
            in_features: 24,
            out_features: 20,
            bias: true,
            stage: 0,
            last_in_stage: true,
            last_stage: true,
        };
        let scope = store.root().pp("fc1");
        let map = NoAdapter::Frozen.projection(&scope, &site).unwrap();
        (store, quantizable(map, &scope))
    }

    #[test]
    fn a_plain_map_is_calibrated_and_then_computed_in_int8() {
        let _drawing = crate::testing::alone();
        let (store, map) = store_and_map();
        let form = store.linear("fc1").unwrap();
        let x = Activations::Shared(Tensor::randn([9, 24], (Kind::Float, Device::Cpu)));
        let pass = || no_grad(|| map.forward(&x, false)).into_shared();
        let perceptron = || no_grad(|| map.forward_perceptron(&x, &Twice, false)).into_shared();
        let (plain, hidden) = (pass(), perceptron());
        form.observe();
        assert_eq!(form.observed(), None);
        assert!(pass().equal(&plain) && perceptron().allclose(&hidden, 1e-5, 1e-6, false));
        let x = x.expect_shared();
        let range = [x.min(), x.max()].map(|t| t.double_value(&[]));
        assert_eq!(form.observed(), Some(range));
        let weight = store.tensors().into_iter().find(|(name, _)| name == "fc1.weight").unwrap().1;
        let weight = Rc::new(Int8Weight::quantize(&weight));
        let input = QuantizedInput::between(range[0], range[1]);
        let int8 = Int8 { weight, input, per_token: true };
        form.compare(int8.clone());
        assert_eq!((form.error(), form.observed()), (None, None));
        assert!(pass().equal(&plain));
        let error = form.error().unwrap();
        form.set_int8(Some(int8));
        let found = pass();
        let apart = ((&found - &plain).norm() / plain.norm()).double_value(&[]);
        assert!(apart > 0.0 && apart < 0.02 && (apart - error).abs() < 1e-4, "{apart} {error}");
        assert!((perceptron() - found.gelu("none") * 2.0).abs().max().double_value(&[]) < 1e-5);
        form.set_int8(None);
        assert!(pass().equal(&plain) && perceptron().equal(&hidden));
    }

    #[test]
    fn a_packed_matrix_gives_what_the_plain_one_gives() {
        let _drawing = crate::testing::alone();
        let (store, map) = store_and_map();
        let x = Activations::Shared(Tensor::randn([9, 24], (Kind::Float, Device::Cpu)));
        let pass = || no_grad(|| map.forward(&x, false)).into_shared();
        let perceptron = || no_grad(|| map.forward_perceptron(&x, &Twice, false)).into_shared();
        let (plain, hidden) = (pass(), perceptron());
        let weight = store.tensors().into_iter().find(|(name, _)| name == "fc1.weight").unwrap().1;
        // Processors without wide vectors multiply the plain one.
        let Some(packed) = PackedWeight::new(&weight) else { return };
        store.linear("fc1").unwrap().set_packed(packed);
        store.drop_frozen("fc1.weight").unwrap();
        assert!(pass().equal(&plain) && perceptron().equal(&hidden));
    }

    #[derive(Debug)]
    struct Twice;

    impl Projection for Twice {
        fn forward(&self, x: &Activations, _train: bool) -> Activations {
            x.map(|t| t * 2.0)
        }
    }

    #[test]
    fn what_is_no_plain_map_is_left_alone() {
        let scope = Store::new(Device::Cpu).root().pp("fc1");
        assert!(quantizable(Box::new(Twice), &scope).linear().is_none());
        assert!(scope.store().linear("fc1").is_none());
        let plain = crate::Plain(Linear::new(&scope, 4, 4, false).unwrap());
        assert!(quantizable(Box::new(plain), &scope).linear().is_some());
        assert!(scope.store().linear("fc1").is_some());
    }
}
