//! An adapter folder folded into the weights that it was trained beside.

use std::collections::BTreeSet;

use polyptych_tensor::{Plan, Site, SiteKind, Tensor, Tensors};

use super::PeftAdapter;
use crate::lora::copy;
use crate::{AdapterConfig, Dora, DoraConfig, Error, Form, Lora, Result, TargetModules};

const FACTOR: &str = ".lora_A.weight";

impl PeftAdapter {
    /// The same with every name passed through `rename`, which gives timm's names; `q`, `k` and
    /// `v` of a fused matrix are `qkv.q`, `qkv.k` and `qkv.v`.
    #[must_use]
    pub fn renamed(self, rename: impl Fn(&str) -> String) -> Self {
        let tensors = self.tensors.into_iter().map(|(name, t)| (rename(&name), t)).collect();
        Self { tensors, ..self }
    }

    /// `base`, a backbone under timm's names, with the adapter folded in, as PEFT's
    /// `merge_and_unload` does. What the adapter saves whole replaces what `base` has.
    ///
    /// # Errors
    /// Factors that fit no weight of `base`.
    pub fn fold(&self, base: &Tensors) -> Result<Tensors> {
        let (factors, whole): (Tensors, Tensors) =
            copy(&self.tensors).into_iter().partition(|(name, _)| name.contains(".lora_"));
        let plan = self.plan(base)?;
        let all = copy(base).into_iter().chain(whole).chain(factors);
        let folded = plan.fold(&all.collect())?;
        match folded.keys().find(|name| name.contains(".lora_")) {
            None => Ok(folded),
            Some(name) => Err(unplaced(name, "a pair of factors".into(), "a part of one")),
        }
    }

    /// A plan that knows where factors stand.
    fn plan(&self, base: &Tensors) -> Result<Box<dyn Plan>> {
        let targets = self.targets();
        let sites = targets.iter().map(|target| self.site(target, base));
        let sites = sites.collect::<Result<Vec<_>>>()?;
        let names = targets.iter().map(|target| target.replace(".qkv.", ".")).collect();
        let resolved = TargetModules::Names(names);
        Ok(match &self.config {
            AdapterConfig::Dora(DoraConfig(config)) => {
                let config = crate::LoraConfig { target_modules: resolved, ..config.clone() };
                let dora = Dora::new(DoraConfig(config), Form::Adapted)?;
                sites.iter().for_each(|site| dora.attach(site));
                Box::new(dora)
            }
            AdapterConfig::Lora(config) => {
                let config = crate::LoraConfig { target_modules: resolved, ..config.clone() };
                let lora = Lora::new(config, Form::Adapted)?;
                sites.iter().for_each(|site| drop(lora.attach(site)));
                Box::new(lora)
            }
            other => return Err(crate::error::config("method", "lora or dora", other.name())),
        })
    }

    /// Modules, or parts of a fused one, that have factors.
    fn targets(&self) -> BTreeSet<String> {
        let named = self.tensors.keys().filter_map(|name| name.strip_suffix(FACTOR));
        named.map(str::to_owned).collect()
    }

    /// The weight of `base` that `target` adapts, once both factors are known to fit it.
    fn site(&self, target: &str, base: &Tensors) -> Result<Site> {
        let part = ["q", "k", "v"].iter().find_map(|p| target.strip_suffix(&format!(".qkv.{p}")));
        let path = part.map_or(target.to_owned(), |attn| format!("{attn}.qkv"));
        let size = |name: String, tensors: &Tensors| tensors.get(&name).map(Tensor::size);
        let weight = size(format!("{path}.weight"), base);
        let Some([out_features, in_features]) = weight.as_deref().and_then(pair) else {
            let expected = "a matrix of the backbone".into();
            return Err(unplaced(target, expected, format!("{:?}", weight.unwrap_or_default())));
        };
        let rows = if part.is_some() { out_features / 3 } else { out_features };
        let (a, b) = (format!("{target}{FACTOR}"), format!("{target}.lora_B.weight"));
        let (a, b) = (size(a, &self.tensors), size(b, &self.tensors));
        let fits = matches!((a.as_deref(), b.as_deref()), (Some(&[r, input]), Some(&[output, rank]))
            if r == rank && input == in_features && output == rows);
        let magnitude = size(format!("{target}.lora_magnitude_vector"), &self.tensors);
        if !fits || magnitude.as_ref().is_some_and(|size| *size != [rows]) {
            let expected = format!("factors [r, {in_features}] and [{rows}, r]");
            return Err(unplaced(target, expected, format!("{a:?} and {b:?}")));
        }
        let kind = if path.ends_with("qkv") { SiteKind::Qkv } else { SiteKind::Proj };
        let (bias, stage, last_in_stage, last_stage) = (false, 0, false, false);
        Ok(Site { path, kind, in_features, out_features, bias, stage, last_in_stage, last_stage })
    }
}

fn pair(size: &[i64]) -> Option<[i64; 2]> {
    size.try_into().ok()
}

fn unplaced(name: &str, expected: String, found: impl Into<String>) -> Error {
    Error::Backbone { name: name.into(), expected, found: found.into() }
}
