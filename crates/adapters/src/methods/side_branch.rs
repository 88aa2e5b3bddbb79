//! A branch beside a frozen trunk that reads it and never changes it: no backward pass goes through
//! the trunk.
//!
//! ```text
//! down    h_l = h_{l-1} + U_l gelu(D_l (a_l + h_{l-1}) + b_l) + c_l          a_l: the trunk at block l
//!         h <- R merge(h) between stages, R the trunk's own, without its norm
//! up      v_4 = h_4,   v_i = h_i + Q_i P_i up(v_{i+1})
//! experts z_{t,i} = a_i + v_i + sum_u softmax(G_i[t])_u E_{u,i}(a_i + v_i)
//! ```
//!
//! `D`: `[n, C]`, `U`: `[C, n]`; `P_i`: `[m, C_{i+1}]`, `Q_i`: `[C_i, m]`; `E_{u,i}` is a bottleneck of `k`
//! numbers for every task and level, and `G_i`: `[tasks, tasks]` says how much each task takes of all
//! of them. `U`, `c`, `Q` and the ways up of `E` start at zero, so that heads read the trunk.
//!
//! It is made in the spirit of BDTA and MoTE (AAAI 2026), whose equations are not public, of E3VA
//! (arXiv 2306.09729) and of Ladder Side-Tuning (arXiv 2206.06522). `a_l` is the stream behind the
//! attention of block `l`.

mod branch;
mod experts;

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Activations, Error as TensorError, Init, Linear, Neck, Parallel, ParallelOutput, Plain, Plan,
    Projection, Result as TensorResult, Scope, Site, SiteKind, Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use branch::{Block, Branch, Lift, Stage};
use experts::{Bottleneck, Experts};

use crate::blocks::tasks::check_tasks;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of a side branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SideBranchConfig {
    /// `n`: width of the bottleneck of a block.
    pub bottleneck: i64,
    /// `m`: width between a coarser level and a finer one.
    pub lift: i64,
    /// `k`: width of the bottleneck of an expert.
    pub expert: i64,
}

impl Default for SideBranchConfig {
    fn default() -> Self {
        Self { bottleneck: 32, lift: 32, expert: 16 }
    }
}

impl Part for SideBranchConfig {
    const NAME: &'static str = "side_branch";
    const SUMMARY: &'static str = "a branch that reads a frozen trunk and never changes it";

    fn example() -> Self {
        Self { bottleneck: 8, lift: 8, expert: 4 }
    }
}

impl Method for SideBranchConfig {
    fn plan(&self, tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        check_tasks(tasks)?;
        for (key, width) in
            [("bottleneck", self.bottleneck), ("lift", self.lift), ("expert", self.expert)]
        {
            if width < 1 {
                return Err(config(key, "at least 1", width));
            }
        }
        let (config, tasks, stages) = (self.clone(), tasks.to_vec(), RefCell::default());
        Ok(Rc::new(SideBranch { config, tasks, stages }))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*side_*"]
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("has parts of its own for every task beside one trunk")
    }
}

#[derive(Debug)]
struct SideBranch {
    config: SideBranchConfig,
    tasks: Vec<String>,
    /// What is known of every stage so far.
    stages: RefCell<Vec<Known>>,
}

/// A stage as the sites show it.
#[derive(Debug, Default)]
struct Known {
    width: i64,
    blocks: Vec<Rc<Block>>,
    /// The trunk's matrix behind the stage, `[2 width, 4 width]`.
    reduction: Option<Tensor>,
}

impl SideBranch {
    fn at_stage<T>(&self, stage: usize, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut stages = self.stages.borrow_mut();
        while stages.len() <= stage {
            stages.push(Known::default());
        }
        change(&mut stages[stage])
    }

    fn block(&self, scope: &Scope, width: i64) -> TensorResult<Block> {
        let n = self.config.bottleneck;
        let (down, up) = (scope.pp("side_down"), scope.pp("side_up"));
        Ok(Block {
            down: linear(&down, [n, width], Init::fan_in(width))?,
            up: linear(&up, [width, n], Init::ZEROS)?,
            seen: RefCell::default(),
        })
    }

    /// `Q_i P_i` of every level but the last.
    fn lifts(&self, scope: &Scope, widths: &[i64]) -> TensorResult<Vec<Lift>> {
        let m = self.config.lift;
        let lift = |(level, pair): (usize, &[i64])| {
            let scope = scope.pp("side_lift").pp(level);
            Ok(Lift {
                p: scope.param("P", &[m, pair[1]], Init::fan_in(pair[1]))?,
                q: scope.param("Q", &[pair[0], m], Init::ZEROS)?,
            })
        };
        widths.windows(2).enumerate().map(lift).collect()
    }

    fn experts(&self, scope: &Scope, level: usize, width: i64) -> TensorResult<Experts> {
        let (k, tasks) = (self.config.expert, self.tasks.len() as i64);
        let scope = scope.pp("side_experts").pp(level);
        let bottleneck = |task: &String| {
            let scope = scope.pp(task);
            Ok(Bottleneck {
                down: linear(&scope.pp("down"), [k, width], Init::fan_in(width))?,
                up: linear(&scope.pp("up"), [width, k], Init::ZEROS)?,
            })
        };
        let own = self.tasks.iter().map(bottleneck).collect::<TensorResult<_>>()?;
        let gates = scope.pp("side_gates").param("weight", &[tasks, tasks], Init::ZEROS)?;
        experts::start(&gates);
        Ok(Experts { own, gates })
    }

    /// Checks that levels are as wide as their stages.
    fn check_widths(&self, channels: &[i64]) -> TensorResult<Vec<i64>> {
        let widths: Vec<i64> = self.stages.borrow().iter().map(|stage| stage.width).collect();
        match channels == widths {
            true => Ok(widths),
            false => Err(TensorError::Config {
                key: "backbone.pyramid".into(),
                expected: format!("after_blocks, levels of {widths:?} channels"),
                found: format!("{channels:?}"),
            }),
        }
    }

    /// Checks that the trunk has a matrix wherever the branch must become wider.
    fn check_reductions(&self, widths: &[i64]) -> TensorResult<()> {
        let stages = self.stages.borrow();
        let widened = widths.windows(2).zip(stages.iter());
        match widened
            .into_iter()
            .all(|(pair, stage)| pair[0] == pair[1] || stage.reduction.is_some())
        {
            true => Ok(()),
            false => Err(TensorError::Config {
                key: "adapter".into(),
                expected: "a backbone whose stages are alike or joined by patch merging".into(),
                found: format!("stages of {widths:?} channels without it"),
            }),
        }
    }
}

fn linear(scope: &Scope, shape: [i64; 2], init: Init) -> TensorResult<Linear> {
    let weight = scope.param("weight", &shape, init)?;
    Ok(Linear { weight, bias: Some(scope.param("bias", &shape[..1], Init::ZEROS)?) })
}

impl Plan for SideBranch {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        let base = Linear::new(scope, site.in_features, site.out_features, site.bias)?;
        if site.kind == SiteKind::Reduction {
            let weight = base.weight.shallow_clone();
            self.at_stage(site.stage, |stage| stage.reduction = Some(weight));
        }
        Ok(Box::new(Plain(base)))
    }

    fn parallel(&self, scope: &Scope, mlp: &Site) -> TensorResult<Option<Box<dyn Parallel>>> {
        let block = Rc::new(self.block(&scope.adapter(), mlp.in_features)?);
        self.at_stage(mlp.stage, |stage| {
            stage.width = mlp.in_features;
            stage.blocks.push(block.clone());
        });
        Ok(Some(Box::new(Reader(block))))
    }

    fn neck(&self, scope: &Scope, channels: &[i64]) -> TensorResult<Option<Box<dyn Neck>>> {
        let (scope, widths) = (&scope.adapter(), self.check_widths(channels)?);
        self.check_reductions(&widths)?;
        let mut lifts = self.lifts(scope, &widths)?.into_iter();
        let stage = |(level, known): (usize, Known)| {
            let experts = self.experts(scope, level, known.width)?;
            let Known { blocks, reduction, .. } = known;
            Ok(Stage { blocks, reduction, lift: lifts.next(), experts })
        };
        let known = self.stages.take().into_iter().enumerate();
        let stages = known.map(stage).collect::<TensorResult<_>>()?;
        Ok(Some(Box::new(Branch { stages })))
    }

    fn unmergeable(&self) -> Option<String> {
        Some("the branch stands beside the trunk, whose weights stay as they are".into())
    }
}

/// Notes what the trunk has at a block, and leaves it as it is.
#[derive(Debug)]
struct Reader(Rc<Block>);

impl Parallel for Reader {
    fn forward(
        &self,
        residual: &Activations,
        _normed: &Activations,
        _train: bool,
    ) -> ParallelOutput {
        let seen = residual.expect_shared().detach();
        let added = Activations::Shared(seen.zeros_like());
        *self.0.seen.borrow_mut() = Some(seen);
        ParallelOutput { added, aside: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |fields: Value| {
            let config: SideBranchConfig = serde_json::from_value(fields).unwrap();
            config.plan(&["sal".to_owned()], Form::Adapted).unwrap_err().to_string()
        };
        for key in ["bottleneck", "lift", "expert"] {
            assert_eq!(message(json!({key: 0})), format!("{key}: expected at least 1, found 0"));
        }
    }
}
