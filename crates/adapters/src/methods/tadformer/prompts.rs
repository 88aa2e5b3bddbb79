//! Prompts of tasks on their way through the blocks, and what tasks read by them.

use polyptych_kernels::{gelu, linear};
use polyptych_tensor::{
    Activations, Init, LayerNorm, Result, Scope, Site, TaskPrompts, TaskReader, Tensor, cast,
    no_grad,
};

/// That of PyTorch's norms.
const NORM_EPS: f64 = 1e-5;

/// Prompts in front of one block.
#[derive(Debug)]
pub(super) struct Guide {
    source: Source,
    reader: Option<Reader>,
    goes_on: bool,
}

/// Where the prompts in front of a block come from.
#[derive(Debug)]
pub(super) enum Source {
    /// `[dim]` of every task.
    Start(Vec<Tensor>),
    /// The block before, in the same stage.
    Before,
    /// The stage before, by a matrix `[dim, dim / 2]`.
    Widened(Tensor),
}

impl Source {
    pub(super) fn start(scope: &Scope, dim: i64, tasks: &[String]) -> Result<Self> {
        let scope = scope.pp("tad_prompts");
        let prompt = |task: &String| {
            let mut prompt = scope.param(task, &[dim], Init::TruncNormal(1.0))?;
            let _ = no_grad(|| prompt.g_add_scalar_(1.0));
            Ok(prompt)
        };
        Ok(Self::Start(tasks.iter().map(prompt).collect::<Result<_>>()?))
    }

    pub(super) fn widened(scope: &Scope, dim: i64) -> Result<Self> {
        let init = Init::TruncNormal(0.02);
        Ok(Self::Widened(scope.param("tad_up", &[dim, dim / 2], init)?))
    }
}

impl Guide {
    pub(super) fn new(scope: &Scope, block: &Site, source: Source) -> Result<Self> {
        let reader = || -> Result<_> {
            Ok(Reader {
                norm: LayerNorm::new(&scope.pp("tad_norm"), block.in_features, NORM_EPS)?,
                gate: scope.param("tad_gate", &[1], Init::ZEROS)?,
            })
        };
        Ok(Self {
            source,
            reader: block.last_in_stage.then(reader).transpose()?,
            goes_on: !(block.last_in_stage && block.last_stage),
        })
    }
}

impl TaskPrompts for Guide {
    fn enter(&self, before: Option<Tensor>, batch: i64) -> Tensor {
        match (&self.source, before) {
            (Source::Start(own), _) => {
                Tensor::stack(own, 0).unsqueeze(0).expand([batch, -1, -1], false)
            }
            (Source::Widened(matrix), Some(before)) => {
                linear(&before, &cast(matrix, before.kind()), None)
            }
            (_, before) => before.expect("prompts that the block before left"),
        }
    }

    fn reader(&self) -> Option<&dyn TaskReader> {
        self.reader.as_ref().map(|reader| reader as &dyn TaskReader)
    }

    fn goes_on(&self) -> bool {
        self.goes_on
    }
}

/// Where tasks part.
#[derive(Debug)]
struct Reader {
    norm: LayerNorm,
    /// `c`, `[1]`.
    gate: Tensor,
}

impl TaskReader for Reader {
    fn read(&self, attended: &Tensor, logits: &Tensor) -> [Tensor; 2] {
        let guided = guided(attended, logits);
        [self.norm.forward(&(attended + &guided)), guided]
    }

    fn leave(&self, z: Activations, kept: &Tensor) -> Activations {
        let share = cast(&self.gate, kept.kind()).sigmoid();
        let left = z.per_task().map(|own| own + (kept - own) * share);
        match left {
            Some(left) => z.with_tasks(left),
            None => z,
        }
    }
}

/// `g_t = gelu(a_t) * x` head by head: `[windows, rows, columns, dim]` and
/// `[tasks, windows, rows, columns, heads]` to `[tasks, windows, rows, columns, dim]`.
fn guided(attended: &Tensor, logits: &Tensor) -> Tensor {
    let heads = logits.size()[logits.dim() - 1];
    let of_heads = attended.unflatten(-1, [heads, -1]).unsqueeze(0);
    (of_heads * gelu(logits).unsqueeze(-1)).flatten(-2, -1)
}

#[cfg(test)]
mod tests {
    use polyptych_tensor::{Device, Kind, Store};

    use super::*;

    fn tensor(numbers: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(numbers).view(shape)
    }

    fn close(found: &Tensor, expected: &[f32]) {
        let found = found.reshape([-1]);
        let difference = (&found - Tensor::from_slice(expected)).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{:?}", Vec::<f32>::try_from(found));
    }

    #[test]
    fn what_a_task_reads_is_gated_by_its_logits() {
        // One task, one window of two places, one head of two numbers.
        let (logits, x) = (tensor(&[1.0, -2.0], &[1, 1, 1, 2, 1]), [1.0, 2.0, 3.0, -1.0]);
        let found = guided(&tensor(&x, &[1, 1, 2, 2]), &logits);
        close(&found, &[0.841345, 1.682689, -0.136501, 0.045500]);
        // Two heads of one number, at one place.
        let found = guided(&tensor(&x[2..], &[1, 1, 1, 2]), &logits.view([1, 1, 1, 1, 2]));
        close(&found, &[3.0 * 0.841345, 0.045500]);
    }

    #[test]
    fn a_gate_at_zero_takes_half_of_either() {
        let scope = Store::new(Device::Cpu).root();
        let gate = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let norm = LayerNorm::new(&scope, 2, NORM_EPS).unwrap();
        let reader = Reader { norm, gate };
        let (own, kept) = (tensor(&[1.0, 3.0], &[1, 1, 1, 1, 2]), tensor(&[5.0, -1.0], &[2]));
        let shared = tensor(&[9.0, 9.0], &[1, 1, 1, 2]);
        let z = Activations::Both { shared, per_task: own };
        close(reader.leave(z, &kept.view([1, 1, 1, 1, 2])).per_task().unwrap(), &[3.0, 1.0]);
    }

    #[test]
    fn prompts_begin_go_on_and_widen() {
        let own = vec![tensor(&[1.0, 2.0], &[2]), tensor(&[3.0, 4.0], &[2])];
        let guide = |source| Guide { source, reader: None, goes_on: true };
        let first = guide(Source::Start(own)).enter(None, 2);
        close(&first, &[1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
        let same = guide(Source::Before).enter(Some(first.shallow_clone()), 2);
        assert!(same.equal(&first));
        let matrix = tensor(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, -1.0], &[4, 2]);
        let wide = guide(Source::Widened(matrix)).enter(Some(first), 2);
        assert_eq!(wide.size(), [2, 2, 4]);
        close(&wide.get(0), &[1.0, 2.0, 3.0, -2.0, 3.0, 4.0, 7.0, -4.0]);
    }
}
