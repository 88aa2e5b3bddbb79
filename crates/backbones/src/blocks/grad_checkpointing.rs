//! timm's `set_grad_checkpointing`, for one part of a trunk.

use std::rc::Rc;

use polyptych_tensor::{CheckpointInput, grad_checkpoint};

use crate::backbone::Options;

/// What a part of the trunk saves for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GradCheckpointing {
    /// Whatever its operations need.
    Off,
    /// Its input; the backward pass runs the part once more.
    On,
}

impl GradCheckpointing {
    /// As `options` ask for.
    pub(crate) fn of(options: Options) -> Self {
        if options.grad_checkpointing { GradCheckpointing::On } else { GradCheckpointing::Off }
    }

    /// `forward(part, x)`.
    pub(crate) fn run<P: 'static, X: CheckpointInput + 'static, R>(
        self,
        part: &Rc<P>,
        x: &X,
        forward: impl Fn(&P, &X) -> R + 'static,
    ) -> R {
        match self {
            GradCheckpointing::Off => forward(part, x),
            GradCheckpointing::On => {
                let part = part.clone();
                grad_checkpoint(x, move |x| forward(&part, x))
            }
        }
    }
}
