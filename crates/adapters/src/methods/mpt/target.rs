//! What a target task begins with.

use std::collections::BTreeMap;

use polyptych_tensor::{Kind, Tensor, Tensors};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config};

/// What a target task begins with, in PEFT's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptTuningInit {
    /// The mean of the sources' prompts: the shared one times the mean of the products `u v`. PEFT has
    /// the means of `u` and of `v` apart, whose product is another.
    AverageSourceTasks,
    /// The shared prompt alone.
    OnlySourceShared,
}

/// What targets begin with, of the parameters of source tasks in `run`: those without factors, which
/// tasks have of their own.
pub(super) fn target(run: &Tensors, init: PromptTuningInit) -> Result<Tensors> {
    let is_factor = |name: &str| ["mpt_u", "mpt_v"].iter().any(|f| factor_of(name, f).is_some());
    let others = run.iter().filter(|(name, _)| !is_factor(name));
    let mut begun: Tensors = others.map(|(name, t)| (name.clone(), t.shallow_clone())).collect();
    if init == PromptTuningInit::AverageSourceTasks {
        for (site, products) in products(run)? {
            let mean = Tensor::stack(&products, 0).mean_dim([0i64].as_slice(), false, Kind::Float);
            let name = format!("{site}mpt_prompt");
            if let Some(prompt) = begun.remove(&name) {
                begun.insert(name, prompt * mean);
            }
        }
    }
    Ok(begun)
}

/// `u_t v_t` of every source task, by what stands in front of the factors' names.
fn products(run: &Tensors) -> Result<BTreeMap<&str, Vec<Tensor>>> {
    let mut products: BTreeMap<&str, Vec<Tensor>> = BTreeMap::new();
    for (name, u) in run {
        let Some((site, task)) = factor_of(name, "mpt_u") else { continue };
        let v = format!("{site}mpt_v.{task}");
        let v = run.get(&v).ok_or_else(|| config(&v, "a factor of the source task", "none"))?;
        products.entry(site).or_default().push(u.matmul(v));
    }
    Ok(products)
}

/// Site and task of the factor `name`, if it is one called `factor`.
fn factor_of<'a>(name: &'a str, factor: &str) -> Option<(&'a str, &'a str)> {
    let (site, task) = name.rsplit_once('.')?;
    Some((site.strip_suffix(factor)?, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_begins_with_the_mean_prompt_of_the_sources() {
        let of = |values: &[f32], columns| Tensor::from_slice(values).view([-1, columns]);
        let mut run = Tensors::from([
            ("blocks.0.mpt_prompt".to_owned(), of(&[1.0, 2.0, 3.0, 4.0], 2)),
            ("blocks.0.mpt_u.depth".to_owned(), of(&[0.5, -1.0], 1)),
            ("blocks.0.mpt_v.depth".to_owned(), of(&[2.0, 1.0], 2)),
            ("blocks.0.mpt_u.edge".to_owned(), of(&[1.0, 3.0], 1)),
            ("blocks.0.mpt_v.edge".to_owned(), of(&[1.0, 0.0], 2)),
        ]);
        let names = ["blocks.0.mpt_prompt"];
        // The products are [1, 0.5; -2, -1] and [1, 0; 3, 0]; means of the factors apart would give
        // [1.125, 0.375; 1.5, 0.5].
        let found = target(&run, PromptTuningInit::AverageSourceTasks).unwrap();
        assert!(found.keys().eq(names));
        assert_eq!(found[names[0]], of(&[1.0, 0.5, 1.5, -2.0], 2));
        let found = target(&run, PromptTuningInit::OnlySourceShared).unwrap();
        assert!(found.keys().eq(names));
        assert_eq!(found[names[0]], run[names[0]]);
        run.remove("blocks.0.mpt_v.edge");
        let message = target(&run, PromptTuningInit::AverageSourceTasks).unwrap_err().to_string();
        let expected = "expected a factor of the source task, found none";
        assert_eq!(message, format!("blocks.0.mpt_v.edge: {expected}"));
    }
}
