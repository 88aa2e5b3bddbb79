//! What the machine can do, beside what is timed on it.

use anyhow::{Result, bail};
use polyptych_benches::Ceiling;
use polyptych_tensor::Tensors;

use crate::case::Case;

/// An operation of which a round does `items`: floating-point operations, or bytes.
pub(crate) struct Rate {
    ceiling: Ceiling,
    items: i64,
}

impl Rate {
    /// Floating-point operations of `ceiling`.
    pub(crate) fn of_operations(ceiling: Ceiling) -> Self {
        Self { items: ceiling.flops(), ceiling }
    }

    /// Bytes of `ceiling`.
    pub(crate) fn of_bytes(ceiling: Ceiling) -> Self {
        Self { items: ceiling.bytes(), ceiling }
    }
}

impl Case for Rate {
    fn run(&mut self) -> Result<()> {
        self.ceiling.run();
        Ok(())
    }

    fn check(&mut self) -> Result<Tensors> {
        bail!("expected a case whose numbers others compute too")
    }

    fn items(&self) -> i64 {
        self.items
    }
}
