//! The adapted linear layer of PDRS.

use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{
    Activations, Init, Kind, Linear, Projection, Result, Scope, Site, Tensor, cast,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::low_rank::{LowRank, LowRankInit};
use crate::blocks::slots::Slots;
use crate::blocks::tensors::widened;

/// What the factors change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PdrsForm {
    /// The weight.
    Lora,
    /// Its direction, beside its magnitude.
    Dora,
    /// The direction that is anchored at that of the frozen weight, as in FAAR's release.
    #[default]
    AnchoredDora,
}

/// What becomes of one frozen weight.
#[derive(Debug)]
pub(in crate::methods) struct Adapted {
    pub(super) factors: LowRank,
    pub(super) slots: Slots,
    /// `[out]`; none for plain factors.
    pub(super) theta: Option<Tensor>,
    pub(super) form: PdrsForm,
    /// `s`.
    pub(super) scale: f64,
}

impl Adapted {
    /// Parameters of `site` with `r` components.
    pub(super) fn new(
        scope: &Scope,
        site: &Site,
        r: i64,
        form: PdrsForm,
        scale: f64,
    ) -> Result<Self> {
        let shape = [site.in_features, site.out_features, r];
        let theta = || scope.param("pdrs_theta", &[site.out_features], Init::ZEROS);
        Ok(Self {
            factors: LowRank::new(scope, ("pdrs_A", "pdrs_B"), shape, LowRankInit::Identity)?,
            slots: Slots::new(scope, "pdrs", r)?,
            theta: (form != PdrsForm::Lora).then(theta).transpose()?,
            form,
            scale,
        })
    }

    /// The parameters that `own` returns by their names.
    pub(in crate::methods) fn taken(
        mut own: impl FnMut(&str) -> Result<Tensor>,
        form: PdrsForm,
        scale: f64,
    ) -> Result<Self> {
        Ok(Self {
            factors: LowRank { a: own("pdrs_A")?, b: own("pdrs_B")? },
            slots: Slots::taken(|name| own(&format!("pdrs_{name}")))?,
            theta: (form != PdrsForm::Lora).then(|| own("pdrs_theta")).transpose()?,
            form,
            scale,
        })
    }

    /// `W'`, `[out, in]`, of `W`, in float32 or wider.
    pub(in crate::methods) fn weight(&self, weight: &Tensor, train: bool) -> Tensor {
        let LowRank { a, b } = self.slots.in_use(&self.factors, train);
        let delta = b.matmul(&a) * self.scale;
        match (self.form, &self.theta) {
            (PdrsForm::Dora, Some(theta)) => {
                let sum = weight + delta;
                let gain = (lengths(weight) + theta.unsqueeze(1)) / lengths(&sum).detach();
                sum * gain
            }
            (PdrsForm::AnchoredDora, Some(theta)) => {
                // Times |W|, so that the start is exact.
                let length = lengths(weight);
                let sum = weight + delta * &length;
                let gain = length / lengths(&sum) * stretch(theta).unsqueeze(1);
                sum * gain
            }
            _ => weight + delta,
        }
    }
}

/// `exp(0.1 theta)`.
pub(super) fn stretch(theta: &Tensor) -> Tensor {
    (theta * 0.1).exp()
}

/// Lengths of the rows of `[out, in]`, `[out, 1]`; never 0.
fn lengths(weight: &Tensor) -> Tensor {
    let squares = weight.square().sum_dim_intlist([1i64].as_slice(), true, None::<Kind>);
    squares.clamp_min(f64::from(f32::MIN_POSITIVE)).sqrt()
}

/// `W' x + b`.
#[derive(Debug)]
pub(super) struct PdrsLinear {
    pub(super) base: Linear,
    pub(super) adapted: Rc<Adapted>,
}

impl Projection for PdrsLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        let frozen = widened(&self.base.weight);
        let weight = self.adapted.weight(&frozen, train);
        x.map(|t| {
            let bias = self.base.bias.as_ref().map(|bias| cast(bias, t.kind()));
            linear(t, &cast(&weight, t.kind()), bias.as_ref())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::SQRT_2;

    use super::*;
    use polyptych_tensor::{Device, Store};

    fn of(values: &[f32], columns: i64) -> Tensor {
        Tensor::from_slice(values).view([-1, columns])
    }

    fn adapted(form: PdrsForm, theta: [f32; 2]) -> Adapted {
        Adapted {
            factors: LowRank { a: of(&[1.0, -1.0], 2), b: of(&[0.5, 0.5], 1) },
            slots: Slots::new(&Store::new(Device::Cpu).root(), "slot", 1).unwrap(),
            theta: Some(Tensor::from_slice(&theta)),
            form,
            scale: 2.0,
        }
    }

    fn close(found: &Tensor, expected: &[f32]) {
        let difference = found.flatten(0, -1) - Tensor::from_slice(expected);
        assert!(difference.abs().max().double_value(&[]) < 1e-5, "{found:?}");
    }

    #[test]
    fn forms_are_those_of_their_equations() {
        let (weight, x) = (of(&[3.0, 4.0, 0.0, 2.0], 2), of(&[1.0, 2.0], 2));
        let y = |w: &Tensor| x.matmul(&w.tr());
        let lora = adapted(PdrsForm::Lora, [0.0, 0.0]).weight(&weight, true);
        close(&lora, &[4.0, 3.0, 1.0, 1.0]);
        let dora = adapted(PdrsForm::Dora, [0.0, 0.0]).weight(&weight, true);
        close(&dora, &[4.0, 3.0, SQRT_2, SQRT_2]);
        close(&y(&dora), &[10.0, 4.242641]);
        let anchored = adapted(PdrsForm::AnchoredDora, [0.0, 0.0]).weight(&weight, true);
        close(&anchored, &[4.961389, -0.620174, 2.0, 0.0]);
        close(&y(&anchored), &[3.721042, 2.0]);
        let moved = adapted(PdrsForm::AnchoredDora, [0.3, -0.2]).weight(&weight, true);
        close(&lengths(&moved), &[5.152273, 1.960397]);
    }
}
