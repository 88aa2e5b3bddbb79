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

use std::collections::BTreeSet;

use polyptych_tensor::{Kind, Tensor, Tensors};

use super::PeftAdapter;
use super::config::InitLoraWeights;
use super::initial::without_first_factors;
use crate::lora::{copy, take};
use crate::{Error, Result};

const FACTOR: &str = ".lora_A.weight";
/// Parts of a fused `qkv`, in the order of its rows.
const PARTS: [&str; 3] = ["q", "k", "v"];

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

/// The rows of a weight that one module of PEFT's is.
struct Rows {
    path: String,
    weight: Tensor,
    start: i64,
}

impl Rows {
    fn of(name: &str, tensors: &Tensors) -> Result<Self> {
        let part = PARTS.iter().position(|p| name.ends_with(&format!(".qkv.{p}")));
        let path = part.map_or(name, |_| &name[..name.len() - 2]).to_owned();
        let Some(weight) = tensors.get(&format!("{path}.weight")).filter(|w| w.dim() >= 2) else {
            let found = tensors.get(&format!("{path}.weight")).map(Tensor::size);
            let expected = "a matrix or a convolution of the backbone".into();
            return Err(unplaced(
                name,
                expected,
                found.map_or("none".into(), |s| format!("{s:?}")),
            ));
        };
        let third = weight.size()[0] / 3;
        let (start, len) = part.map_or((0, weight.size()[0]), |part| (part as i64 * third, third));
        Ok(Self { path, weight: weight.narrow(0, start, len), start })
    }

    fn weight_name(&self) -> String {
        format!("{}.weight", self.path)
    }

    /// Both factors, once they are known to fit.
    fn fitting(
        &self,
        name: &str,
        a: Option<Tensor>,
        b: Option<Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let size = self.weight.size();
        let kernel = &size[2..];
        let shape = |t: &Option<Tensor>| t.as_ref().map(Tensor::size);
        let (found_a, found_b) = (shape(&a), shape(&b));
        match (a, b) {
            (Some(a), Some(b))
                if a.dim() == size.len()
                    && b.dim() == size.len()
                    && a.size()[1..] == size[1..]
                    && b.size()[..2] == [size[0], a.size()[0]]
                    && b.size()[2..].iter().all(|&extent| extent == 1) =>
            {
                Ok((a, b))
            }
            _ => {
                let (rows, columns) = (size[0], size[1]);
                let kernel = kernel.iter().map(|extent| format!(", {extent}")).collect::<String>();
                let ones = ", 1".repeat(size.len() - 2);
                let expected = format!("factors [r, {columns}{kernel}] and [{rows}, r{ones}]");
                Err(unplaced(name, expected, format!("{found_a:?} and {found_b:?}")))
            }
        }
    }

    /// `magnitude * adapted / |adapted|`, by rows.
    fn with_length(&self, name: &str, adapted: &Tensor, magnitude: &Tensor) -> Result<Tensor> {
        let rows = self.weight.size()[0];
        if magnitude.numel() as i64 != rows {
            let expected = format!("a lora_magnitude_vector of {rows} numbers");
            return Err(unplaced(name, expected, format!("{:?}", magnitude.size())));
        }
        let length = flat(adapted, [rows, -1]).square();
        let length = length.sum_dim_intlist([1i64].as_slice(), false, Kind::Double).sqrt();
        let gain = magnitude.to_kind(Kind::Double).view([rows]) / length;
        let by_row: Vec<i64> =
            (0..adapted.dim()).map(|axis| if axis == 0 { rows } else { 1 }).collect();
        Ok(adapted * gain.view(by_row.as_slice()))
    }

    fn add_bias(&self, name: &str, merged: &mut Tensors, added: &Tensor) -> Result<()> {
        let path = format!("{}.bias", self.path);
        let rows = self.weight.size()[0];
        let own = merged.get(&path).map(|bias| bias.narrow(0, self.start, rows));
        match own {
            Some(own) if added.size() == [rows] => {
                self.put(merged, &path, &(own.to_kind(Kind::Double) + added))
            }
            _ => {
                let expected = format!("a bias of {rows} numbers, as lora_bias needs");
                Err(unplaced(name, expected, format!("{:?}", own.map(|own| own.size()))))
            }
        }
    }

    /// `tensors` with these rows of the tensor `name` replaced, in the type that it has.
    fn put(&self, tensors: &mut Tensors, name: &str, rows: &Tensor) -> Result<()> {
        let whole = take(tensors, name)?.copy();
        whole
            .narrow(0, self.start, rows.size()[0])
            .f_copy_(&rows.to_kind(whole.kind()))
            .map_err(polyptych_tensor::Error::from)?;
        tensors.insert(name.into(), whole);
        Ok(())
    }
}

/// Puts what an adapter saves whole at its place; parts of a fused matrix are its rows.
fn place_whole(tensors: &mut Tensors, name: &str, tensor: Tensor) -> Result<()> {
    let part = PARTS.iter().enumerate().find_map(|(index, part)| {
        let (path, end) = name.split_once(&format!(".qkv.{part}."))?;
        Some((index as i64, format!("{path}.qkv.{end}")))
    });
    match part {
        None => {
            let kind = tensors.get(name).map_or(tensor.kind(), Tensor::kind);
            tensors.insert(name.into(), tensor.to_kind(kind));
            Ok(())
        }
        Some((index, whole)) => {
            let Some(found) = tensors.get(&whole) else {
                return Err(unplaced(name, format!("{whole} of the backbone"), "none"));
            };
            let rows = found.size()[0] / 3;
            if tensor.size()[..1] != [rows] || tensor.size()[1..] != found.size()[1..] {
                let expected = format!("{rows} rows of {:?}", found.size());
                return Err(unplaced(name, expected, format!("{:?}", tensor.size())));
            }
            let weight = found.narrow(0, index * rows, rows);
            let path = whole.rsplit_once('.').map_or("", |(path, _)| path).to_owned();
            Rows { path, weight, start: index * rows }.put(tensors, &whole, &tensor)
        }
    }
}

fn flat(tensor: &Tensor, shape: [i64; 2]) -> Tensor {
    tensor.to_kind(Kind::Double).contiguous().view(shape)
}

/// Modules, or parts of a fused one, that have factors.
pub(super) fn modules(tensors: &Tensors) -> BTreeSet<String> {
    let factor = |name: &String| {
        let (module, _) = name.split_once(".lora_A.").or_else(|| name.split_once(".lora_B."))?;
        Some(module.to_owned())
    };
    tensors.keys().filter_map(factor).collect()
}

fn unplaced(name: &str, expected: String, found: impl Into<String>) -> Error {
    Error::Backbone { name: name.into(), expected, found: found.into() }
}
