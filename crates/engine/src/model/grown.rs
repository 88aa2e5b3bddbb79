//! Heads of runs with smaller label sets.

use std::collections::BTreeMap;

use polyptych_tensor::{Tensor, Tensors};

use crate::Model;
use crate::model::heads::DECODER;

/// What a head's tensor of a smaller label set becomes, where its head can grow.
pub(crate) fn grown(model: &Model, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
    let (task, part) = name.strip_prefix("heads.")?.split_once('.')?;
    let task = model.tasks.iter().find(|known| known.spec.name == task)?;
    task.recipe.head.grown(part, tensor, wanted)
}

/// Whether the head that `name` is of, or the decoder, has the same tensors in the run as in the
/// model, or some that grow to them; a head that reads the decoder wants that too.
pub(crate) fn fits(
    model: &Model,
    name: &str,
    own: &BTreeMap<String, Vec<i64>>,
    found: &Tensors,
) -> bool {
    let whole = |prefix: &str| fits_below(model, prefix, own, found);
    let Some(task) = name.strip_prefix("heads.").and_then(|rest| rest.split('.').next()) else {
        return whole(DECODER);
    };
    let known = model.tasks.iter().find(|known| known.spec.name == task);
    let shares = known.is_some_and(|task| task.recipe.head.shares_decoder());
    whole(&format!("heads.{task}")) && (!shares || whole(DECODER))
}

fn fits_below(
    model: &Model,
    scope: &str,
    own: &BTreeMap<String, Vec<i64>>,
    found: &Tensors,
) -> bool {
    let prefix = format!("{scope}.");
    let mut wanted = own.iter().filter(|(name, _)| name.starts_with(&prefix)).peekable();
    wanted.peek().is_some()
        && wanted.all(|(name, size)| {
            let same = |t: &Tensor| t.size() == *size || grown(model, name, t, size).is_some();
            found.get(name).is_some_and(same)
        })
}
