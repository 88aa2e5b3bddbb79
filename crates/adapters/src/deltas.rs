//! What a task's weights differ by from a frozen backbone, as it is kept in a file.
//!
//! | name | content |
//! |---|---|
//! | `<tensor>.indices`, `<tensor>.values` | `[k]` each: places in the flat tensor as int32, and what is added there |
//! | `<tensor>.delta` | what is added, of the tensor's shape |
//! | `<tensor>.delta_A`, `<tensor>.delta_B` | `[r, in]` and `[out, r]`, whose product `B A` is added |

use std::collections::BTreeSet;

use polyptych_tensor::{Kind, Tensor, Tensors};

use crate::blocks::tensors::{copy, widened};
use crate::error::{Error, Result};

const INDICES: &str = ".indices";
const VALUES: &str = ".values";
const DENSE: &str = ".delta";
const DOWN: &str = ".delta_A";
const UP: &str = ".delta_B";

/// The numbers of `delta`, what `tensor` differs by, where `mask` is not 0.
pub(crate) fn sparse(tensor: &str, delta: &Tensor, mask: &Tensor) -> Tensors {
    let places = mask.flatten(0, -1).nonzero().flatten(0, -1);
    let values = delta.detach().flatten(0, -1).index_select(0, &places);
    match places.numel() {
        0 => Tensors::new(),
        _ => Tensors::from([
            (format!("{tensor}{INDICES}"), places.to_kind(Kind::Int)),
            (format!("{tensor}{VALUES}"), values),
        ]),
    }
}

/// All of `delta`, what `tensor` differs by.
pub(crate) fn dense(tensor: &str, delta: &Tensor) -> (String, Tensor) {
    (format!("{tensor}{DENSE}"), delta.detach())
}

/// The factors `a` and `b` of what `tensor` differs by.
pub(crate) fn low_rank(tensor: &str, a: &Tensor, b: &Tensor) -> [(String, Tensor); 2] {
    [(format!("{tensor}{DOWN}"), a.detach()), (format!("{tensor}{UP}"), b.detach())]
}

/// Names of the tensors that `delta` changes.
///
/// # Errors
/// A name that is none of a difference's.
pub fn changed_by(delta: &Tensors) -> Result<BTreeSet<String>> {
    let changed = |name: &String| {
        let ends = [INDICES, VALUES, DENSE, DOWN, UP];
        let found = ends.iter().find_map(|end| name.strip_suffix(end));
        found
            .map(str::to_owned)
            .ok_or_else(|| wrong(name, "a part of a difference", "another name"))
    };
    delta.keys().map(changed).collect()
}

/// `backbone` with `delta` added, in float32 where it is changed.
///
/// # Errors
/// A tensor that the backbone lacks or that is of another shape, parts that do not fit together,
/// places that are not in the tensor.
pub fn apply_delta(backbone: &Tensors, delta: &Tensors) -> Result<Tensors> {
    let mut all = copy(backbone);
    for name in changed_by(delta)? {
        let frozen = backbone.get(&name);
        let frozen = frozen.ok_or_else(|| wrong(&name, "a tensor of the backbone", "none"))?;
        all.insert(name.clone(), changed(&name, &widened(frozen).detach(), delta)?);
    }
    Ok(all)
}

fn changed(name: &str, frozen: &Tensor, delta: &Tensors) -> Result<Tensor> {
    let part = |end: &str| {
        let name = format!("{name}{end}");
        delta.get(&name).ok_or_else(|| wrong(&name, "this part of the difference", "none"))
    };
    if delta.contains_key(&format!("{name}{INDICES}"))
        || delta.contains_key(&format!("{name}{VALUES}"))
    {
        return scattered(name, frozen, (part(INDICES)?, part(VALUES)?));
    }
    let added = match delta.get(&format!("{name}{DENSE}")) {
        Some(dense) => dense.shallow_clone(),
        None => product(name, part(DOWN)?, part(UP)?)?,
    };
    match added.size() == frozen.size() {
        true => Ok(frozen + added.to_device(frozen.device()).to_kind(frozen.kind())),
        false => Err(wrong(name, &format!("{:?}", frozen.size()), &format!("{:?}", added.size()))),
    }
}

fn product(name: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match (&a.size()[..], &b.size()[..]) {
        ([r, _], [_, s]) if r == s => Ok(b.matmul(a)),
        (a, b) => Err(wrong(name, "factors [r, in] and [out, r]", &format!("{a:?} and {b:?}"))),
    }
}

/// Adds values at places of the flat tensor.
fn scattered(name: &str, frozen: &Tensor, (places, values): (&Tensor, &Tensor)) -> Result<Tensor> {
    let (places, values) = (places.to_device(frozen.device()), values.to_device(frozen.device()));
    if places.dim() != 1 || places.size() != values.size() || places.kind() != Kind::Int {
        let found = format!("{:?} of {:?} and {:?}", places.size(), places.kind(), values.size());
        return Err(wrong(name, "as many places of int32 as values", &found));
    }
    let (places, count) = (places.to_kind(Kind::Int64), frozen.numel() as i64);
    let outside = places.lt(0).logical_or(&places.ge(count));
    if outside.any().int64_value(&[]) != 0 {
        return Err(wrong(name, &format!("places from 0 to {}", count - 1), "others"));
    }
    let flat = frozen.flatten(0, -1).index_add(0, &places, &values.to_kind(frozen.kind()));
    Ok(flat.view_as(frozen))
}

fn wrong(name: &str, expected: &str, found: &str) -> Error {
    Error::Backbone { name: name.into(), expected: expected.into(), found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backbone() -> Tensors {
        let weight = Tensor::arange(6, (Kind::Float, polyptych_tensor::Device::Cpu)).view([2, 3]);
        Tensors::from([("fc1.weight".to_owned(), weight)])
    }

    fn ints(places: &[i32]) -> Tensor {
        Tensor::from_slice(places)
    }

    #[test]
    fn every_form_adds_what_it_holds() {
        let full = Tensor::from_slice(&[0.0f32, 2.0, 0.0, 0.0, 0.0, -1.0]).view([2, 3]);
        let forms = [
            sparse("fc1.weight", &full, &full.ne(0.0).to_kind(Kind::Float)),
            Tensors::from([dense("fc1.weight", &full)]),
            {
                let b = Tensor::eye(2, (Kind::Float, polyptych_tensor::Device::Cpu));
                Tensors::from(low_rank("fc1.weight", &full, &b))
            },
        ];
        let expected = &backbone()["fc1.weight"] + &full;
        for delta in &forms {
            assert!(apply_delta(&backbone(), delta).unwrap()["fc1.weight"].equal(&expected));
        }
        assert_eq!(forms[0]["fc1.weight.indices"], ints(&[1, 5]));
        assert!(sparse("fc1.weight", &full, &full.zeros_like()).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let values = || Tensor::from_slice(&[1.0f32]);
        let two = |indices: Tensor, values: Tensor| {
            Tensors::from([
                ("fc1.weight.indices".to_owned(), indices),
                ("fc1.weight.values".to_owned(), values),
            ])
        };
        let one = |name: &str, t: Tensor| Tensors::from([(name.to_owned(), t)]);
        for (delta, expected) in [
            (
                one("fc1.weight", values()),
                "fc1.weight: expected a part of a difference, found another name",
            ),
            (
                one("fc2.weight.delta", values()),
                "fc2.weight: expected a tensor of the backbone, found none",
            ),
            (one("fc1.weight.delta", values()), "fc1.weight: expected [2, 3], found [1]"),
            (
                one("fc1.weight.indices", ints(&[0])),
                "fc1.weight.values: expected this part of the difference, found none",
            ),
            (two(ints(&[6]), values()), "fc1.weight: expected places from 0 to 5, found others"),
            (two(ints(&[-1]), values()), "fc1.weight: expected places from 0 to 5, found others"),
            (
                two(ints(&[0, 1]), values()),
                "fc1.weight: expected as many places of int32 as values, found [2] of Int and [1]",
            ),
        ] {
            assert_eq!(apply_delta(&backbone(), &delta).unwrap_err().to_string(), expected);
        }
    }
}
