//! An adapter folder merged into the weights that it was trained beside, as PEFT does it.
//!
//! ```text
//! W' = W - s A0 B0             where making the adapter took its first factors out of W
//! V  = W' + s B A              s: `lora_alpha / r`, or `lora_alpha / sqrt(r)` with `use_rslora`
//! W  = V, or m V / |V|         with DoRA; |V|: one number per row
//! b  = b + s b_B               with `lora_bias`
//! ```
//!
//! The sum is taken in float64 and rounded once, to the type in which the weight is stored.

use polyptych_tensor::{Kind, Tensors};

use super::adapter::PeftAdapter;
use super::config::InitLoraWeights;
use super::initial::without_first_factors;
use super::rows::{Rows, flat, place_whole, unplaced};
use crate::blocks::tensors::copy;
use crate::error::{Error, Result};

const FACTOR: &str = ".lora_A.weight";

/// Where the factors of one module of PEFT's stand in a backbone.
struct Target<'a> {
    /// Its name in timm's words; a part of a fused matrix is `qkv.q`, `qkv.k` or `qkv.v`.
    name: &'a str,
    /// Its name in the adapter's own words, which its patterns are about.
    original: &'a str,
}

impl PeftAdapter {
    /// The same with every name passed through `rename`, which gives timm's names; `q`, `k` and
    /// `v` of a fused matrix are `qkv.q`, `qkv.k` and `qkv.v`.
    #[must_use]
    pub fn renamed(self, rename: impl Fn(&str) -> String) -> Self {
        let tensors = self.tensors.into_iter().map(|(name, t)| (rename(&name), t)).collect();
        let module = |name: String| {
            let renamed = rename(&format!("{name}{FACTOR}"));
            renamed.strip_suffix(FACTOR).map_or(name, str::to_owned)
        };
        let modules = self.modules.into_iter().map(|(name, own)| (module(name), own)).collect();
        Self { tensors, modules, ..self }
    }

    /// `base`, a backbone under timm's names, with the adapter merged in, as PEFT's
    /// `merge_and_unload` does. What the adapter saves whole replaces what `base` has.
    ///
    /// # Errors
    /// Factors that fit no weight of `base`, or that the adapter's own options do not explain.
    pub fn merge(&self, base: &Tensors) -> Result<Tensors> {
        let mut merged = copy(base);
        let (mut factors, whole): (Tensors, Tensors) =
            copy(&self.tensors).into_iter().partition(|(name, _)| name.contains(".lora_"));
        for (name, tensor) in whole {
            place_whole(&mut merged, &name, tensor)?;
        }
        for (name, original) in &self.modules {
            self.merge_module(&Target { name, original }, &mut factors, &mut merged)?;
        }
        match factors.keys().next() {
            None => Ok(merged),
            Some(name) => Err(unplaced(name, "a pair of factors".into(), "a part of one")),
        }
    }

    fn merge_module(
        &self,
        target: &Target,
        factors: &mut Tensors,
        merged: &mut Tensors,
    ) -> Result<()> {
        let name = target.name;
        let rows = Rows::of(name, merged)?;
        let mut part = |end: &str| factors.remove(&format!("{name}.{end}"));
        let (a, b) = (part("lora_A.weight"), part("lora_B.weight"));
        let (bias, magnitude) = (part("lora_B.bias"), part("lora_magnitude_vector"));
        let (a, b) = rows.fitting(name, a, b)?;
        let smaller = rows.weight.size()[0].min(rows.weight.size()[1]);
        self.check(target, [a.size()[0], smaller], bias.is_some(), magnitude.is_some())?;
        let scaling = self.wrong(self.config.scaling(target.original))?;
        let init = self.config.init();
        let base = match (init, rows.weight.dim()) {
            (InitLoraWeights::Unchanged, _) => rows.weight.to_kind(Kind::Double),
            (_, 2) => without_first_factors(&rows.weight, init, a.size()[0], scaling)?,
            _ => {
                let expected =
                    "a linear layer, the only one whose weight init_lora_weights changes";
                return Err(unplaced(name, expected.into(), "a convolution"));
            }
        };
        let delta = flat(&b, [-1, a.size()[0]]).matmul(&flat(&a, [a.size()[0], -1])) * scaling;
        let adapted = base + delta.view(rows.weight.size().as_slice());
        let weight = match magnitude {
            Some(magnitude) => rows.with_length(name, &adapted, &magnitude)?,
            None => adapted,
        };
        rows.put(merged, &rows.weight_name(), &weight)?;
        match bias {
            Some(bias) => rows.add_bias(name, merged, &(bias.to_kind(Kind::Double) * scaling)),
            None => Ok(()),
        }
    }

    /// Checks that the options give the module such factors, where the rank of its weight is no
    /// more than `smaller`.
    fn check(
        &self,
        target: &Target,
        [rank, smaller]: [i64; 2],
        bias: bool,
        magnitude: bool,
    ) -> Result<()> {
        let config = &self.config;
        let refused = |reason: String| {
            Err(Error::Config {
                key: format!("{}: {}", self.path.display(), target.original),
                expected: "what the options say of it".into(),
                found: reason,
            })
        };
        let wanted = self.wrong(config.rank(target.original))?;
        // What is made of the weight's decomposition has no more parts than that has.
        let wanted = match config.init() {
            InitLoraWeights::Unchanged => wanted,
            InitLoraWeights::Pissa | InitLoraWeights::Olora => wanted.min(smaller),
        };
        if wanted != rank {
            return refused(format!(
                "factors of rank {rank}, where r and rank_pattern give {wanted}"
            ));
        }
        if !self.wrong(config.adapts(target.original))? {
            return refused(
                "factors, where target_modules, exclude_modules, modules_to_save and \
                            layers_to_transform leave it out"
                    .into(),
            );
        }
        if magnitude != config.use_dora() {
            let found = if magnitude { "a lora_magnitude_vector" } else { "none" };
            return refused(format!("{found}, where use_dora is {}", config.use_dora()));
        }
        if bias && !config.lora_bias() {
            return refused("a bias of lora_B, where lora_bias is false".into());
        }
        Ok(())
    }

    fn wrong<T>(&self, result: Result<T, String>) -> Result<T> {
        result.map_err(|reason| Error::PeftConfig { path: self.path.clone(), reason })
    }
}
