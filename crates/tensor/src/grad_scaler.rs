//! Dynamic loss scaling: how gradients that float16 would round to 0 survive a backward pass.
//!
//! Micikevicius et al., Mixed Precision Training (ICLR 2018), section 3.2, with the rule and the
//! constants of PyTorch's `torch.amp.GradScaler`.

use tch::{Device, Kind, Tensor, no_grad};

use crate::{Error, Result, Tensors};

const SCALE: &str = "scaler.scale";
const GROWTH_TRACKER: &str = "scaler.growth_tracker";

/// The factor on a loss: it grows by [`GradScaler::GROWTH_FACTOR`] after
/// [`GradScaler::GROWTH_INTERVAL`] steps in a row whose gradients are finite, and shrinks by
/// [`GradScaler::BACKOFF_FACTOR`] after every other step.
///
/// All scales are powers of two, so scaling changes no bit of a gradient that neither overflows nor
/// underflows.
#[derive(Debug, Clone, PartialEq)]
pub struct GradScaler {
    scale: f64,
    growth_tracker: i64,
}

impl Default for GradScaler {
    fn default() -> Self {
        Self { scale: Self::INIT_SCALE, growth_tracker: 0 }
    }
}

impl GradScaler {
    /// The first scale.
    pub const INIT_SCALE: f64 = 65536.0;
    /// Factor on the scale after [`GradScaler::GROWTH_INTERVAL`] good steps in a row.
    pub const GROWTH_FACTOR: f64 = 2.0;
    /// Factor on the scale after a step whose gradients are not finite.
    pub const BACKOFF_FACTOR: f64 = 0.5;
    /// The scale shrinks no more than to this: 2^-126, float32's smallest normal number.
    pub const MIN_SCALE: f64 = f32::MIN_POSITIVE as f64;
    /// Good steps in a row before the scale grows.
    pub const GROWTH_INTERVAL: i64 = 2000;

    /// What the next loss is multiplied by.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Good steps in a row since the scale changed.
    pub fn growth_tracker(&self) -> i64 {
        self.growth_tracker
    }

    /// Takes the scale from the gradients of `params`.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub fn unscale(&self, params: &[(String, Tensor)]) -> Result<()> {
        let mut grads = params.iter().map(|(_, param)| param.grad()).filter(Tensor::defined);
        let unscale = |mut grad: Tensor| grad.f_mul_scalar_(1.0 / self.scale).map(drop);
        Ok(no_grad(|| grads.try_for_each(unscale))?)
    }

    /// Tells how the step ended: whether all gradients were finite, which those of a loss that is
    /// not never are.
    pub fn update(&mut self, finite: bool) {
        self.growth_tracker = if finite { self.growth_tracker + 1 } else { 0 };
        if !finite {
            // Below the smallest scale its inverse, which gradients are multiplied by, is infinite.
            self.scale = (self.scale * Self::BACKOFF_FACTOR).max(Self::MIN_SCALE);
        } else if self.growth_tracker == Self::GROWTH_INTERVAL {
            self.growth_tracker = 0;
            let grown = self.scale * Self::GROWTH_FACTOR;
            // A scale above float32's range would make every loss infinite.
            self.scale = if grown <= f64::from(f32::MAX) { grown } else { self.scale };
        }
    }

    /// What a resumed run needs: `scaler.scale`, float64, and `scaler.growth_tracker`, int64, each
    /// `[1]`.
    pub fn state(&self) -> Tensors {
        Tensors::from([
            (SCALE.to_owned(), Tensor::from_slice(&[self.scale])),
            (GROWTH_TRACKER.to_owned(), Tensor::from_slice(&[self.growth_tracker])),
        ])
    }

    /// Goes on where [`GradScaler::state`] was taken.
    ///
    /// # Errors
    /// A tensor that is absent, of another shape or type, or a number out of its range; nothing has
    /// changed then.
    pub fn restore(&mut self, state: &Tensors) -> Result<()> {
        let scale = number(state, SCALE, Kind::Double)?.double_value(&[0]);
        let growth_tracker = number(state, GROWTH_TRACKER, Kind::Int64)?.int64_value(&[0]);
        if !(scale > 0.0 && scale <= f64::from(f32::MAX)) {
            return Err(wrong(SCALE, "a finite number above 0", scale.to_string()));
        }
        if !(0..Self::GROWTH_INTERVAL).contains(&growth_tracker) {
            let expected = format!("0 to {}", Self::GROWTH_INTERVAL - 1);
            return Err(wrong(GROWTH_TRACKER, &expected, growth_tracker.to_string()));
        }
        *self = Self { scale, growth_tracker };
        Ok(())
    }
}

fn number(state: &Tensors, key: &str, kind: Kind) -> Result<Tensor> {
    let expected = format!("one number of type {kind:?}");
    let found = state.get(key).ok_or_else(|| wrong(key, &expected, "no such tensor".into()))?;
    if (found.size().as_slice(), found.kind()) != (&[1], kind) {
        return Err(wrong(key, &expected, format!("{:?} of {:?}", found.size(), found.kind())));
    }
    Ok(found.to_device(Device::Cpu))
}

fn wrong(key: &str, expected: &str, found: String) -> Error {
    Error::Config { key: key.into(), expected: expected.into(), found }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LibTorch's own kernel of `torch.amp.GradScaler.update`, over a sequence in which overflows
    /// are frequent at first and then so rare that the scale grows.
    #[test]
    fn the_scale_follows_pytorchs() {
        let mut own = GradScaler::default();
        let mut scale = Tensor::from_slice(&[GradScaler::INIT_SCALE as f32]);
        let tracker = Tensor::from_slice(&[0i32]);
        let mut seen = std::collections::BTreeSet::new();
        for step in 0..9000 {
            let finite = if step < 40 { step % 3 == 0 } else { step != 2500 && step != 6000 };
            let found_inf = Tensor::from_slice(&[if finite { 0f32 } else { 1.0 }]);
            let (growth, backoff) = (GradScaler::GROWTH_FACTOR, GradScaler::BACKOFF_FACTOR);
            let interval = GradScaler::GROWTH_INTERVAL;
            let _ = scale
                .f_internal_amp_update_scale_(&tracker, &found_inf, growth, backoff, interval)
                .unwrap();
            own.update(finite);
            assert_eq!(own.scale(), scale.double_value(&[0]), "{step}");
            assert_eq!(own.growth_tracker(), tracker.int64_value(&[0]), "{step}");
            seen.insert(own.scale().log2() as i64);
        }
        // It fell below 1, and grew three times since.
        assert!(seen.first() == Some(&-10) && own.scale() == 2f64.powi(-9), "{seen:?}");
    }

    #[test]
    fn the_scale_stays_a_float32() {
        let mut scaler = GradScaler::default();
        for _ in 0..GradScaler::GROWTH_INTERVAL * 200 {
            scaler.update(true);
        }
        assert_eq!(scaler.scale(), 2f64.powi(127));
        for _ in 0..2000 {
            scaler.update(false);
        }
        assert_eq!(scaler.scale(), 2f64.powi(-126));
        assert!((1.0 / scaler.scale()) as f32 <= f32::MAX);
        GradScaler::default().restore(&scaler.state()).unwrap();
    }

    #[test]
    fn gradients_come_back_bit_for_bit() {
        let param = Tensor::from_slice(&[0.1f32, -3.7]).set_requires_grad(true);
        let loss = || (&param * &param).sum(Kind::Float);
        loss().backward();
        let expected = param.grad().copy();
        param.shallow_clone().zero_grad();
        let scaler = GradScaler::default();
        (loss() * scaler.scale()).backward();
        assert!(!param.grad().equal(&expected));
        scaler.unscale(&[("w".to_owned(), param.shallow_clone())]).unwrap();
        assert!(param.grad().equal(&expected));
    }

    #[test]
    fn state_comes_back_and_is_checked() {
        let mut scaler = GradScaler::default();
        [false, true, true].into_iter().for_each(|finite| scaler.update(finite));
        let mut other = GradScaler::default();
        other.restore(&scaler.state()).unwrap();
        assert_eq!((other.scale(), other.growth_tracker()), (32768.0, 2));
        let with = |key: &str, tensor: Tensor| {
            let mut state = scaler.state();
            state.insert(key.to_owned(), tensor);
            GradScaler::default().restore(&state).unwrap_err().to_string()
        };
        assert_eq!(
            with(SCALE, Tensor::from_slice(&[0f64])),
            "scaler.scale: expected a finite number above 0, found 0"
        );
        assert_eq!(
            with(GROWTH_TRACKER, Tensor::from_slice(&[2000i64])),
            "scaler.growth_tracker: expected 0 to 1999, found 2000"
        );
        assert_eq!(
            with(SCALE, Tensor::from_slice(&[1f32, 2.0])),
            "scaler.scale: expected one number of type Double, found [2] of Float"
        );
        assert_eq!(
            GradScaler::default().restore(&Tensors::new()).unwrap_err().to_string(),
            "scaler.scale: expected one number of type Double, found no such tensor"
        );
    }
}
