//! A factor on what an adapter makes: a constant, or one trainable number.

use polyptych_tensor::{Init, Result, Scope, Tensor, cast};

/// `s` in `s x`.
#[derive(Debug)]
pub(crate) enum Scale {
    Fixed(f64),
    /// `[1]`.
    Trainable(Tensor),
}

impl Scale {
    /// `first` for good or, if `trainable`, as the first value of the parameter `name`.
    pub(crate) fn new(scope: &Scope, name: &str, first: f64, trainable: bool) -> Result<Self> {
        Ok(match trainable {
            true => Scale::Trainable(scope.param(name, &[1], Init::Const(first))?),
            false => Scale::Fixed(first),
        })
    }

    pub(crate) fn apply(&self, x: Tensor) -> Tensor {
        match self {
            Scale::Fixed(1.0) => x,
            Scale::Fixed(value) => x * *value,
            Scale::Trainable(value) => {
                let value = cast(value, x.kind());
                x * value
            }
        }
    }
}
