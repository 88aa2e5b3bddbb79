//! Something that is timed: a ceiling, a group of kernels, the whole step.

use anyhow::Result;
use polyptych_benches::Clock;
use serde_json::{Value, json};

use crate::call::Call;
use crate::work::Work;

/// What a piece says about the machine or the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    /// Operations a second of products.
    Products,
    /// Bytes a second that memory moves.
    Memory,
    /// Kernels of a training step.
    Group,
    /// The training step as a whole.
    Step,
}

/// See the module.
pub(crate) struct Piece {
    role: Role,
    name: String,
    calls: i64,
    work: Work,
    run: Box<dyn FnMut() -> Result<()>>,
    seconds: Vec<f64>,
}

impl Piece {
    /// `run` does `work` in `calls` calls.
    pub(crate) fn new(
        (role, name): (Role, String),
        (calls, work): (i64, Work),
        run: impl FnMut() -> Result<()> + 'static,
    ) -> Self {
        Self { role, name, calls, work, run: Box::new(run), seconds: Vec::new() }
    }

    /// A group of kernels: all of `calls`.
    pub(crate) fn group(name: &str, mut calls: Vec<Call>) -> Self {
        let count = calls.iter().map(Call::times).sum();
        let work = calls.iter().map(Call::work).sum();
        let run = move || {
            calls.iter_mut().for_each(Call::run);
            Ok(())
        };
        Self::new((Role::Group, name.into()), (count, work), run)
    }

    /// Runs once; `counts` says whether its time is kept.
    pub(crate) fn round(&mut self, counts: bool) -> Result<()> {
        let clock = Clock::of_process();
        (self.run)()?;
        if counts {
            self.seconds.extend(clock.elapsed()[0]);
        }
        Ok(())
    }

    /// What was measured, as JSON.
    pub(crate) fn line(&self) -> Value {
        let role = match self.role {
            Role::Products => "products",
            Role::Memory => "memory",
            Role::Group => "group",
            Role::Step => "step",
        };
        let Self { name, calls, work, seconds, .. } = self;
        json!({
            "role": role,
            "name": name,
            "calls": calls,
            "flops": work.flops,
            "bytes": work.bytes,
            "seconds": seconds,
        })
    }
}
