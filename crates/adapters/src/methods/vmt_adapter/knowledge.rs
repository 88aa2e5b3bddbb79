//! The knowledge-extraction modules of one adapter: what each task draws from what all share.

use polyptych_tensor::{Init, Owner, Result, Scope, Tap, Tensor, cast};

use super::config::KnowledgeExtraction;
use super::pair::Pair;

/// Name of the modules' scope.
pub(super) const SCOPE: &str = "vmt_ke";

/// One module per task, in the order of the task axis.
#[derive(Debug)]
pub(super) struct Knowledge {
    kind: KnowledgeExtraction,
    tasks: Vec<Module>,
}

/// Bottleneck and output: `gamma_t` and `beta_t`, `[k]` or `[d]`; linear: `M_t`, `[k, k]`, and `[k]`.
#[derive(Debug)]
struct Module {
    weight: Tensor,
    bias: Tensor,
}

impl Knowledge {
    /// Makes `vmt_ke.<task>` below `scope` for every task; no module changes anything at first.
    pub(super) fn new(
        scope: &Scope,
        kind: KnowledgeExtraction,
        stage: usize,
        [d, k]: [i64; 2],
        tasks: &[String],
    ) -> Result<Self> {
        let (shape, width) = match kind {
            KnowledgeExtraction::Bottleneck => (vec![k], k),
            KnowledgeExtraction::Output => (vec![d], d),
            KnowledgeExtraction::Linear => (vec![k, k], k),
        };
        let module = |task: &String| {
            let owner = Owner { task: task.clone(), stage: Some(stage) };
            let scope = scope.pp(SCOPE).pp(task).owned_by(owner);
            let weight = scope.param("weight", &shape, first(shape.len()))?;
            Ok(Module { weight, bias: scope.param("bias", &[width], Init::ZEROS)? })
        };
        Ok(Self { kind, tasks: tasks.iter().map(module).collect::<Result<_>>()? })
    }

    /// The terms of all tasks, `[tasks, .., d]`, without the adapter's scale.
    ///
    /// `h`, `[.., k]`: the activated bottleneck; `out`, `[.., d]`: what all tasks share of it. For
    /// [`Tap::Sum`] the terms are what a task adds to `out`, and exactly 0 at first; for
    /// [`Tap::Concat`] they are whole.
    pub(super) fn terms(&self, pair: &Pair, h: &Tensor, out: &Tensor, tap: Tap) -> Tensor {
        let (bottleneck, output) = (h.flatten(0, -2), out.flatten(0, -2));
        let terms = match self.kind {
            KnowledgeExtraction::Output => self.scaled(&output, tap),
            KnowledgeExtraction::Bottleneck => self.up(pair, &self.scaled(&bottleneck, tap), tap),
            KnowledgeExtraction::Linear => self.up(pair, &self.mapped(&bottleneck, tap), tap),
        };
        let mut shape = out.size();
        shape.insert(0, self.tasks.len() as i64);
        terms.view(shape.as_slice())
    }

    /// `(gamma_t - 1) x + beta_t`, or `gamma_t x + beta_t`: `[rows, n]` to `[tasks, rows, n]`.
    fn scaled(&self, x: &Tensor, tap: Tap) -> Tensor {
        let gamma = self.stack(|module| &module.weight);
        // Subtracted in float32: gamma stays near 1, where half types are coarse.
        let gain = if tap == Tap::Sum { gamma - 1.0 } else { gamma };
        let row = |t: &Tensor| cast(t, x.kind()).unsqueeze(1);
        x * row(&gain) + row(&self.stack(|module| &module.bias))
    }

    /// `M_t x + beta_t`, with `x` itself for [`Tap::Concat`].
    fn mapped(&self, x: &Tensor, tap: Tap) -> Tensor {
        let maps = cast(&self.stack(|module| &module.weight), x.kind());
        let each = x.unsqueeze(0).expand([self.tasks.len() as i64, -1, -1], false);
        let bias = cast(&self.stack(|module| &module.bias), x.kind()).unsqueeze(1);
        let mapped = each.bmm(&maps.transpose(1, 2)) + bias;
        if tap == Tap::Sum { mapped } else { mapped + x }
    }

    fn up(&self, pair: &Pair, h: &Tensor, tap: Tap) -> Tensor {
        let up = pair.up_tasks(h);
        if tap == Tap::Sum { up } else { up + cast(&pair.up_bias, h.kind()) }
    }

    fn stack(&self, part: impl Fn(&Module) -> &Tensor) -> Tensor {
        let parts: Vec<&Tensor> = self.tasks.iter().map(part).collect();
        Tensor::stack(&parts, 0)
    }
}

/// `blocks.3.mlp.vmt_ke.depth.weight` as the path of the MLP, the task and the part.
pub(super) fn module(name: &str) -> Option<(&str, &str, &str)> {
    let (path, rest) = name.split_once(&format!(".{SCOPE}."))?;
    let (task, part) = rest.rsplit_once('.')?;
    Some((path, task, part))
}

/// First values of a weight of `dims` axes: factors of 1, or a map that adds nothing.
fn first(dims: usize) -> Init {
    if dims == 1 { Init::ONES } else { Init::ZEROS }
}

/// First values of a module's `part`, shaped like another task's `like`.
pub(super) fn fresh(part: &str, like: &Tensor) -> Tensor {
    let init = if part == "weight" { first(like.dim()) } else { Init::ZEROS };
    init.draw(&like.size(), like.device())
}

/// The up-projection of one task, with its module merged in: `W_up^t`, `[d, k]`, and `b_up^t`.
pub(super) fn merged(
    kind: KnowledgeExtraction,
    [weight, bias]: [&Tensor; 2],
    [up, up_bias]: [&Tensor; 2],
) -> (Tensor, Tensor) {
    let shift = || up.mv(bias) + up_bias;
    match kind {
        KnowledgeExtraction::Bottleneck => (up * weight, shift()),
        KnowledgeExtraction::Linear => (up + up.matmul(weight), shift()),
        KnowledgeExtraction::Output => (up * weight.unsqueeze(1), up_bias * weight + bias),
    }
}
