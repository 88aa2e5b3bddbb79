//! Which linear maps of a model can be computed in int8, and which are.

use std::collections::BTreeMap;
use std::rc::Rc;

use polyptych_tensor::{Int8, Int8Weight, Kind, QuantizedInput, Tensor, Tensors};

use crate::{Error, Model, Result};

/// Behind the name of a map: its matrix, and what stands beside it where that is of int8.
const WEIGHT: &str = "weight";
const WEIGHT_SCALE: &str = "weight_scale";
const INPUT_SCALE: &str = "input_scale";
const INPUT_ZERO_POINT: &str = "input_zero_point";

/// Int8 forms by the names of their maps in a model's store.
pub(crate) type Int8Maps = BTreeMap<String, Int8>;

impl Model {
    /// Names of the trunks' maps that are plain ones, in the order of the backbones.
    pub(crate) fn linear_maps(&self) -> Vec<String> {
        let of_trunk = |trunk: &crate::model::trunk::Trunk| {
            let prefix = trunk.prefix();
            trunk.projections().map(|path| format!("{prefix}.{path}")).collect::<Vec<_>>()
        };
        let all = self.trunks().iter().flat_map(of_trunk);
        all.filter(|name| self.store.linear(name).is_some()).collect()
    }

    /// The maps that are computed in int8.
    pub(crate) fn int8_maps(&self) -> Int8Maps {
        let names = self.linear_maps().into_iter();
        names.filter_map(|name| Some((name.clone(), self.store.linear(&name)?.int8()?))).collect()
    }

    /// Computes exactly `maps` in int8 from now on.
    pub(crate) fn set_int8_maps(&self, maps: &Int8Maps) {
        for name in self.linear_maps() {
            if let Some(form) = self.store.linear(&name) {
                form.set_int8(maps.get(&name).cloned());
            }
        }
    }

    /// The same for good: nothing keeps the matrices, whose bytes their int8 forms have.
    ///
    /// # Errors
    /// A map that the model does not have, `origin` says whence.
    pub(crate) fn keep_int8_maps(&self, origin: &str, maps: &Int8Maps) -> Result<()> {
        let known = self.linear_maps();
        if let Some(name) = maps.keys().find(|name| !known.contains(name)) {
            let reason = format!("{name}: expected a plain linear map of the recipe's backbone");
            return Err(Error::Weights { name: origin.into(), reason });
        }
        self.set_int8_maps(maps);
        for name in maps.keys() {
            self.store.drop_frozen(&format!("{name}.{WEIGHT}"))?;
        }
        Ok(())
    }

    /// All tensors, with matrices of int8 as the numbers that they stand for.
    pub(crate) fn float_tensors(&self) -> Tensors {
        let mut tensors: Tensors = self.store.tensors().into_iter().collect();
        for (name, int8) in self.int8_maps() {
            tensors.insert(format!("{name}.{WEIGHT}"), int8.weight.dequantize());
        }
        tensors
    }
}

/// Puts the bytes of `maps` in the place of their matrices in `tensors`, and scales beside them.
pub(crate) fn store(maps: &Int8Maps, tensors: &mut Tensors) {
    for (name, int8) in maps {
        let mut put = |part: &str, tensor: Tensor| tensors.insert(format!("{name}.{part}"), tensor);
        put(WEIGHT, int8.weight.weight());
        put(WEIGHT_SCALE, int8.weight.scale().shallow_clone());
        put(INPUT_SCALE, Tensor::from_slice(&[int8.input.scale as f32]));
        put(INPUT_ZERO_POINT, Tensor::from_slice(&[int8.input.zero_point]));
    }
}

/// The same back: takes the maps of int8 out of `tensors`, which `origin` has, where the numbers
/// stand then that they stand for.
///
/// # Errors
/// A part of one that is absent, or of another type or shape.
pub(crate) fn take(origin: &str, tensors: &mut Tensors, per_token: bool) -> Result<Int8Maps> {
    let behind = format!(".{WEIGHT_SCALE}");
    let names: Vec<String> =
        tensors.keys().filter_map(|name| name.strip_suffix(&behind)).map(Into::into).collect();
    let mut maps = Int8Maps::new();
    for name in names {
        let weight = part(origin, tensors, &name, WEIGHT, Kind::Int8, None)?;
        let rows = weight.size()[0];
        let scale = part(origin, tensors, &name, WEIGHT_SCALE, Kind::Float, Some(rows))?;
        let step = part(origin, tensors, &name, INPUT_SCALE, Kind::Float, Some(1))?;
        let zero = part(origin, tensors, &name, INPUT_ZERO_POINT, Kind::Uint8, Some(1))?;
        let step = step.double_value(&[0]);
        if !(step > 0.0 && step.is_finite()) {
            let reason = format!("{name}.{INPUT_SCALE}: expected a number above 0, found {step}");
            return Err(Error::Weights { name: origin.into(), reason });
        }
        let input = QuantizedInput { scale: step, zero_point: zero.int64_value(&[0]) as u8 };
        let int8 = Int8 { weight: Rc::new(Int8Weight::new(weight, scale)), input, per_token };
        tensors.insert(format!("{name}.{WEIGHT}"), int8.weight.dequantize());
        maps.insert(name, int8);
    }
    Ok(maps)
}

/// The tensor `name.part`, taken out of `tensors`: of `extent` numbers, or a matrix.
fn part(
    origin: &str,
    tensors: &mut Tensors,
    name: &str,
    part: &str,
    kind: Kind,
    extent: Option<i64>,
) -> Result<Tensor> {
    let key = format!("{name}.{part}");
    let wanted = extent.map_or("a matrix".into(), |extent| format!("[{extent}]"));
    let refused = |found: String| {
        let reason = format!("{key}: expected {wanted} of {kind:?}, found {found}");
        Error::Weights { name: origin.into(), reason }
    };
    let tensor = tensors.remove(&key).ok_or_else(|| refused("none".into()))?;
    let fits = extent.map_or(tensor.dim() == 2, |extent| tensor.size() == [extent]);
    match fits && tensor.kind() == kind {
        // What is read of a file is a part of the whole file's numbers, which traces would keep.
        true => Ok(tensor.copy()),
        false => Err(refused(format!("{:?} of {:?}", tensor.size(), tensor.kind()))),
    }
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::Device;

    use super::*;

    fn stored() -> (Int8Maps, Tensors) {
        let weight = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([3, 4]) - 5.0;
        let weight = Rc::new(Int8Weight::quantize(&weight));
        let input = QuantizedInput { scale: 0.125, zero_point: 200 };
        let maps = Int8Maps::from([("b.fc1".into(), Int8 { weight, input, per_token: true })]);
        let mut tensors = Tensors::new();
        store(&maps, &mut tensors);
        (maps, tensors)
    }

    #[test]
    fn maps_come_back_and_leave_plain_numbers() {
        let (maps, mut tensors) = stored();
        assert_eq!(tensors.len(), 4);
        let found = take("m", &mut tensors, true).unwrap();
        let (a, b) = (&maps["b.fc1"], &found["b.fc1"]);
        assert_eq!((a.input, a.per_token), (b.input, b.per_token));
        assert!(a.weight.weight().equal(&b.weight.weight()));
        assert!(a.weight.scale().equal(b.weight.scale()));
        assert!(tensors.keys().eq(["b.fc1.weight"]));
        assert!(tensors["b.fc1.weight"].equal(&a.weight.dequantize()));
    }

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let refused = |change: &dyn Fn(&mut Tensors)| {
            let mut tensors = stored().1;
            change(&mut tensors);
            take("m", &mut tensors, true).unwrap_err().to_string()
        };
        let float = |values: &[f32]| Tensor::from_slice(values);
        let message = refused(&|all| drop(all.remove("b.fc1.input_scale")));
        assert_eq!(message, "weights `m`: b.fc1.input_scale: expected [1] of Float, found none");
        let message = refused(&|all| drop(all.insert("b.fc1.weight".into(), float(&[1.0]))));
        assert!(message.ends_with("expected a matrix of Int8, found [1] of Float"), "{message}");
        let message = refused(&|all| drop(all.insert("b.fc1.weight_scale".into(), float(&[1.0]))));
        assert!(message.ends_with("expected [3] of Float, found [1] of Float"), "{message}");
        let message = refused(&|all| drop(all.insert("b.fc1.input_scale".into(), float(&[0.0]))));
        assert!(message.ends_with("expected a number above 0, found 0"), "{message}");
    }
}
