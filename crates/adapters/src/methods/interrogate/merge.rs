//! Merging the factors of a layer, and what gates leave.

use polyptych_tensor::{Result as TensorResult, Tensor, Tensors};

use super::gate;
use super::pruned::GROUP;
use crate::blocks::tensors::{take, widened};

/// Merges the layer at `path`, whose factors count `scale`; the shared stream behind it may have no
/// reader.
///
/// # Errors
/// A tensor that is absent.
pub(super) fn merge_layer(
    tensors: &mut Tensors,
    path: &str,
    tasks: &[String],
    (scale, has_shares): (f64, bool),
) -> TensorResult<()> {
    let mut own = |name: &str| take(tensors, &format!("{path}.{name}"));
    let weight = widened(&own("weight")?);
    let pair = |a, b: Tensor| b.matmul(&a) * scale;
    let shared = pair(own("interro_shared_A")?, own("interro_shared_B")?);
    let mut of_tasks = |name: &str| {
        let all = tasks.iter().map(|task| own(&format!("{name}.{task}")));
        all.collect::<TensorResult<Vec<_>>>()
    };
    let (a, b) = (of_tasks("interro_A")?, of_tasks("interro_B")?);
    let gates: Vec<Tensor> = of_tasks("interro_alpha")?.iter().map(gate::hard).collect();
    let beta = has_shares.then(|| of_tasks("interro_beta")).transpose()?;
    let shares = beta.map(|beta| gate::softmax(&beta));
    for (index, (task, gate)) in tasks.iter().zip(&gates).enumerate() {
        // A channel that is shared needs no row of the task's own.
        let rows = (&weight + pair(a[index].shallow_clone(), b[index].shallow_clone()))
            * gate.unsqueeze(1);
        tensors.insert(format!("{path}.{GROUP}.{task}.weight"), rows);
        tensors.insert(format!("{path}.interro_gate.{task}"), gate.shallow_clone());
        let share = shares.as_ref().map(|all| all.get(index as i64).contiguous());
        tensors.extend(share.map(|share| (format!("{path}.interro_share.{task}"), share)));
    }
    tensors.insert(format!("{path}.weight"), weight + shared);
    Ok(())
}
