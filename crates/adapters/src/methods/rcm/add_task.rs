//! A task more for a trained model, which leaves every other task as it is.

use polyptych_tensor::{Init, Kind, Tensor, Tensors};

use crate::error::{Error, Result, config};

/// Gives the trained, unmerged RCM in `tensors` modulators for `task` wherever other tasks have some;
/// the task starts as the plain backbone. All other tensors are those of `tensors`.
///
/// # Errors
/// A task that the model has, a name with dots, tensors without modulators.
pub(super) fn add_task(tensors: &Tensors, task: &str) -> Result<Tensors> {
    if task.is_empty() || task.contains('.') {
        return Err(config("task", "a name without dots", format!("`{task}`")));
    }
    let mut all = Tensors::new();
    let mut modulators = 0;
    for (name, tensor) in tensors {
        all.insert(name.clone(), tensor.shallow_clone());
        let Some((layer, part, known)) = modulator(name) else { continue };
        if known == task {
            return Err(config("task", "a task that the model does not have", task));
        }
        modulators += 1;
        let new = format!("{layer}.{part}.{task}");
        let axes = tensors.get(&format!("{layer}.rcm_U"));
        all.entry(new).or_insert_with(|| fresh(part, tensor, axes));
    }
    match modulators {
        0 => Err(Error::Backbone {
            name: "rcm_*".into(),
            expected: "the modulators of an unmerged RCM".into(),
            found: "none".into(),
        }),
        _ => Ok(all),
    }
}

/// The layer, the parameter and the task of the modulator's part `name`.
fn modulator(name: &str) -> Option<(&str, &str, &str)> {
    let (path, task) = name.rsplit_once('.')?;
    let (layer, part) = path.rsplit_once('.')?;
    ["rcm_A", "rcm_B", "rcm_V", "rcm_g"].contains(&part).then_some((layer, part, task))
}

/// First values of a part like `like`; `axes` are those of the layer's answers.
fn fresh(part: &str, like: &Tensor, axes: Option<&Tensor>) -> Tensor {
    let (size, device) = (like.size(), like.device());
    let options = (Kind::Float, device);
    match (part, axes) {
        ("rcm_A", _) => Init::fan_in(size[1]).draw(&size, device),
        ("rcm_g", _) => Tensor::ones(size, options),
        ("rcm_V", Some(axes)) => axes.detach().copy(),
        ("rcm_V", None) => Tensor::eye(size[0], options),
        _ => Tensor::zeros(size, options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    #[test]
    fn a_new_task_starts_as_the_plain_backbone() {
        let draw = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let named = |name: &str, t: Tensor| (format!("fc1.{name}"), t);
        let old = Tensors::from([
            named("rcm_A.sal", draw(&[2, 5])),
            named("rcm_B.sal", draw(&[5, 2])),
            named("rcm_g.sal", draw(&[5])),
            named("weight", draw(&[5, 3])),
        ]);
        let new = add_task(&old, "edge").unwrap();
        assert_eq!(new.len(), 7);
        assert!(old.iter().all(|(name, t)| new[name].equal(t)));
        assert_eq!(new["fc1.rcm_B.edge"].abs().max().double_value(&[]), 0.0);
        assert!(new["fc1.rcm_A.edge"].abs().max().double_value(&[]) > 0.0);
        let again = add_task(&new, "edge").unwrap_err().to_string();
        assert_eq!(again, "task: expected a task that the model does not have, found edge");
        let none = add_task(&Tensors::new(), "edge").unwrap_err().to_string();
        assert_eq!(none, "rcm_*: expected the modulators of an unmerged RCM, found none");
    }
}
