//! TS-PD: filters of every task on the spectra of the levels, and what spectra of other tasks add;
//! the decoder's part of FAAR (CVPR 2026, arXiv 2603.20403).
//!
//! ```text
//! filter   y = x + alpha (g Y + h - x),   Y = irfft2( rfft2(x) (1 + d[bin(r)]) )
//! cross    F = rfft2(y),   Fm = mean over the other tasks of rfft2(their x)
//!          r <= 0.5:  |F| <- |F| + s_low (g_low |Fm| - |F|), phases stay     s_low = 0.5 tanh(a_low)
//!          edges:     F <- F + s_high e(r) (g_high Fm - F)                   s_high = 0.3 tanh(a_high)
//! ```
//!
//! `x`: a level of a task, `[batch, height, width, dim]`, each channel by itself; `d`: `[bins, dim]`,
//! `g` and `h`: `[dim]`, all else one number, for every task and level. `r` is the distance from the
//! constant part with 1 at the highest frequency of an axis, `e(r) = clamp((r - 0.8) / 0.2, 0, 1)`,
//! and transforms are orthonormal.
//!
//! Where ours differs from the release: rows have the frequencies of the transform, where the
//! release counts them from one end to the other, so that its constant part is an edge; the start is
//! the identity (`d`, `h` and `a` at 0, `g` at 1), where the release starts at 1.6 times the input
//! and has sigmoids for `tanh`; the levels are the backbone's, each at its own size, where the
//! release reads MTLoRA's decoder at one size.

mod filters;
mod spectrum;

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{Init, Neck, Owner, Plan, Result as TensorResult, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use filters::{Cross, Filters, Level, TaskSpectra};

use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of TS-PD.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TsPdConfig {
    /// Rings of frequencies that have a factor of their own.
    pub bins: i64,
    /// `alpha` at the start: how much of the filtered level replaces the level.
    pub alpha: f64,
    /// Whether spectra of other tasks join (XT-Cons).
    pub cross_task: bool,
}

impl Default for TsPdConfig {
    fn default() -> Self {
        Self { bins: 16, alpha: 0.6, cross_task: true }
    }
}

impl TsPdConfig {
    pub(super) fn validate(&self, tasks: &[String]) -> Result<()> {
        check_tasks(tasks)?;
        if self.bins < 1 {
            return Err(config("bins", "at least 1", self.bins));
        }
        match self.alpha.is_finite() {
            true => Ok(()),
            false => Err(config("alpha", "a finite number", self.alpha)),
        }
    }

    /// What stands behind levels of `channels` numbers, with its parameters below `scope`.
    pub(super) fn neck(
        &self,
        scope: &Scope,
        channels: &[i64],
        tasks: &[String],
    ) -> TensorResult<Box<dyn Neck>> {
        let levels = channels.iter().enumerate().map(|(level, &dim)| {
            let of = Place { scope: scope.pp("tspd").pp(level), level, tasks };
            let filters = self.filters(&of, dim)?;
            let cross = || cross(&of);
            // A task alone has no other.
            let cross = (self.cross_task && tasks.len() > 1).then(cross).transpose()?;
            Ok(Level::new(filters, cross))
        });
        Ok(Box::new(TaskSpectra {
            levels: levels.collect::<TensorResult<_>>()?,
            tasks: tasks.len() as i64,
        }))
    }

    fn filters(&self, of: &Place, dim: i64) -> TensorResult<Filters> {
        Ok(Filters {
            d: of.every_task("d", &[self.bins, dim], Init::ZEROS)?,
            g: of.every_task("g", &[dim], Init::ONES)?,
            h: of.every_task("h", &[dim], Init::ZEROS)?,
            alpha: of.every_task("alpha", &[1], Init::Const(self.alpha))?,
        })
    }
}

fn cross(of: &Place) -> TensorResult<Cross> {
    Ok(Cross {
        low: of.every_task("low", &[1], Init::ZEROS)?,
        high: of.every_task("high", &[1], Init::ZEROS)?,
        gain_low: of.every_task("gain_low", &[1], Init::ONES)?,
        gain_high: of.every_task("gain_high", &[1], Init::ONES)?,
    })
}

/// Where the parameters of a level lie.
struct Place<'a> {
    scope: Scope,
    level: usize,
    tasks: &'a [String],
}

impl Place<'_> {
    /// The parameter `name` of every task, below the task's own name.
    fn every_task(&self, name: &str, shape: &[i64], init: Init) -> TensorResult<Vec<Tensor>> {
        let own = |task: &String| {
            let owner = Owner { task: task.clone(), stage: Some(self.level) };
            let scope = self.scope.pp(task).owned_by(owner);
            scope.param(format!("tspd_{name}"), shape, init)
        };
        self.tasks.iter().map(own).collect()
    }
}

impl Part for TsPdConfig {
    const NAME: &'static str = "ts_pd";
    const SUMMARY: &'static str =
        "filters of tasks on the spectra of a frozen backbone's levels (FAAR)";

    fn example() -> Self {
        Self { bins: 4, ..Self::default() }
    }
}

impl Method for TsPdConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        self.validate(tasks)?;
        Ok(Rc::new(TsPd { config: self.clone(), tasks: tasks.to_vec() }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*tspd_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task behind one trunk")
    }
}

#[derive(Debug)]
struct TsPd {
    config: TsPdConfig,
    tasks: Vec<String>,
}

impl Plan for TsPd {
    fn neck(&self, scope: &Scope, channels: &[i64]) -> TensorResult<Option<Box<dyn Neck>>> {
        self.config.neck(&scope.adapter(), channels, &self.tasks).map(Some)
    }

    fn unmergeable(&self) -> Option<String> {
        Some("filters stand behind the trunk, and no weight of it can hold them".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value, tasks: &[&str]| {
            let config: TsPdConfig = serde_json::from_value(fields).unwrap();
            let tasks: Vec<String> = tasks.iter().map(|&task| task.into()).collect();
            config.plan(&tasks, Form::Adapted).unwrap_err().to_string()
        };
        assert_eq!(message(json!({"bins": 0}), &["sal"]), "bins: expected at least 1, found 0");
        assert_eq!(message(json!({}), &[]), "tasks: expected at least one task, found none");
    }
}
