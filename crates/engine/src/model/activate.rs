//! From raw outputs to what readers of predictions expect, by the kind of a task alone: programs
//! that hand raw outputs to other threads have no task there.

use polyptych_data::{TaskKind, TaskSpec};
use polyptych_heads::upsample;
use polyptych_tensor::{Kind, Tensor};

use crate::Result;

/// Least length by which normals are divided.
pub(crate) const UNIT_EPS: f64 = 1e-12;
/// Least depth in metres.
pub(crate) const MIN_DEPTH: f64 = 1e-9;

/// Raw outputs, `[batch, outputs, ..]`, as class index, probability, unit vector, metres.
pub(crate) fn activate(kind: TaskKind, raw: &Tensor) -> Tensor {
    match kind {
        TaskKind::Semseg | TaskKind::HumanParts => raw.argmax(1, true).to_kind(Kind::Float),
        TaskKind::Sal | TaskKind::Edge => raw.sigmoid(),
        TaskKind::Normals => {
            let norm = raw.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
            raw / (norm + UNIT_EPS)
        }
        TaskKind::Depth => raw.clamp_min(MIN_DEPTH),
        TaskKind::Classification
        | TaskKind::Tags
        | TaskKind::Retrieval
        | TaskKind::ModifiedRetrieval => raw.unsqueeze(-1).unsqueeze(-1),
    }
}

/// As [`Task::activate`](crate::Task::activate), of a task that `spec` describes, resampled to
/// `size`, height and width; one class after the other where there are classes, so that a
/// photograph of any size needs two planes.
///
/// # Errors
/// An extent of 0.
pub fn activate_at(spec: &TaskSpec, raw: &Tensor, size: [i64; 2]) -> Result<Tensor> {
    let plane = |class: i64| upsample(&raw.narrow(1, class, 1), size);
    match spec.kind {
        TaskKind::Semseg | TaskKind::HumanParts => {
            let mut best = plane(0)?;
            let mut classes = best.zeros_like();
            for class in 1..raw.size()[1] {
                let other = plane(class)?;
                let _ = classes.masked_fill_(&other.gt_tensor(&best), class as f64);
                best = best.maximum(&other);
            }
            Ok(classes.to_kind(Kind::Float))
        }
        _ if spec.is_dense() => Ok(activate(spec.kind, &upsample(raw, size)?)),
        _ => Ok(activate(spec.kind, raw)),
    }
}
