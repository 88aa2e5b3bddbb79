//! What the parts of a trunk keep for the backward pass.

use std::rc::Rc;

use polyptych_tensor::{Activations, grad_checkpoint};

use crate::backbone::Options;

/// See the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Whatever their operations need.
    Everything,
    /// What goes into them; the backward pass runs them once more.
    Inputs,
}

impl Keep {
    /// What `options` ask for.
    pub(crate) fn of(options: Options) -> Self {
        if options.grad_checkpointing { Keep::Inputs } else { Keep::Everything }
    }

    /// `run(part, x)`.
    pub(crate) fn through<P: 'static, R>(
        self,
        part: &Rc<P>,
        x: &Activations,
        run: impl Fn(&P, &Activations) -> R + 'static,
    ) -> R {
        match self {
            Keep::Everything => run(part, x),
            Keep::Inputs => {
                let part = part.clone();
                grad_checkpoint(x, move |x| run(&part, x))
            }
        }
    }
}
