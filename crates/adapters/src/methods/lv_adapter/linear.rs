//! Maps that start at random, with a bias.

use polyptych_tensor::{Init, Linear, Result as TensorResult, Scope};

/// With a bias of zeros.
pub(super) fn linear(scope: &Scope, [rows, columns]: [i64; 2], init: Init) -> TensorResult<Linear> {
    let weight = scope.param("weight", &[rows, columns], init)?;
    Ok(Linear { weight, bias: Some(scope.param("bias", &[rows], Init::ZEROS)?) })
}
