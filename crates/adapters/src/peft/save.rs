//! What a run trained as an adapter of PEFT's, and its folder.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use polyptych_formats::file;
use polyptych_tensor::{Kind, Tensor, Tensors};
use serde_json::{Value, json};

use super::names::PREFIX;
use super::{CONFIG, MODEL, PeftAdapter, PeftConfig};
use crate::lora::{copy, take};
use crate::{
    AdapterConfig, DoraConfig, Error, LoraConfig, MtLoraConfig, PerStage, Result, SharedMode,
};

const PARTS: [&str; 3] = ["q", "k", "v"];
const MAGNITUDE: &str = "lora_magnitude_vector";

/// The factors that a run trained, in PEFT's words, and the weights that they stand beside.
#[derive(Debug)]
pub struct PeftFactors {
    /// Weights of the backbone under timm's names, whatever trains in them included, but for the
    /// factors.
    pub base: Tensors,
    /// `MODULE.lora_A.weight`, `MODULE.lora_B.weight`, with DoRA `MODULE.lora_magnitude_vector`.
    pub factors: Tensors,
    /// Names of the method that PEFT has no place for: factors of single tasks, routers.
    pub left_out: Vec<String>,
    r: i64,
    lora_alpha: f64,
    lora_dropout: f64,
    use_dora: bool,
    rank_pattern: BTreeMap<String, i64>,
    alpha_pattern: BTreeMap<String, f64>,
}

impl PeftFactors {
    /// Takes the factors out of `tensors`, a trained backbone of the method `config` under its own
    /// names: those of LoRA, DoRA and EMTAL, and those that MTLoRA's tasks share.
    ///
    /// Parts of a fused `qkv` become one pair of factors: their `A` one above the other, their `B`
    /// on the diagonal of a block matrix.
    ///
    /// # Errors
    /// A method or mode without such factors, or a parameter that is absent.
    pub fn of(config: &AdapterConfig, tensors: &Tensors) -> Result<Self> {
        match config {
            AdapterConfig::Lora(config) => Self::of_lora(config, tensors, false),
            AdapterConfig::Dora(DoraConfig(config)) => Self::of_lora(config, tensors, true),
            AdapterConfig::Emtal(config) => Self::of_lora(&config.lora(), tensors, false),
            AdapterConfig::MtLora(config) => Self::of_mtlora(config, tensors),
            other => Err(refused(
                other.name(),
                "PEFT's LoRA has no such parameters; expected lora, \
                                                dora, emtal or the shared part of mtlora",
            )),
        }
    }

    fn of_lora(config: &LoraConfig, tensors: &Tensors, use_dora: bool) -> Result<Self> {
        let (own, mut base): (Tensors, Tensors) =
            copy(tensors).into_iter().partition(|(name, _)| name.contains("lora_"));
        let mut made = Self {
            base: Tensors::new(),
            factors: Tensors::new(),
            left_out: Vec::new(),
            r: config.r,
            lora_alpha: config.lora_alpha,
            lora_dropout: config.lora_dropout,
            use_dora,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        };
        let (mut parts, mut whole): (Tensors, Tensors) =
            own.into_iter().partition(|(name, _)| part_of(name).is_some());
        made.join_parts(&mut parts, &base, &mut whole)?;
        for (name, tensor) in whole {
            match name.contains("lora_router") {
                true => made.left_out.push(name),
                false => drop(made.factors.insert(name, tensor)),
            }
        }
        if use_dora {
            made.start_magnitudes(&base)?;
        }
        made.base.append(&mut base);
        Ok(made)
    }

    fn of_mtlora(config: &MtLoraConfig, tensors: &Tensors) -> Result<Self> {
        if config.shared_mode == SharedMode::Addition {
            let reason =
                "the shared stream of shared_mode = \"addition\" is made of the tasks' own";
            return Err(refused("mtlora", reason));
        }
        let mut made = Self {
            base: Tensors::new(),
            factors: Tensors::new(),
            left_out: Vec::new(),
            r: config.shared_r(0),
            lora_alpha: config.shared_scale(0) * config.shared_r(0) as f64,
            lora_dropout: config.dropout(0),
            use_dora: false,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        };
        let mut scales = BTreeMap::new();
        for (name, tensor) in copy(tensors) {
            let (module, parameter) = name.rsplit_once('.').unwrap_or(("", &name));
            let factor = match parameter {
                "lora_shared_A" => "lora_A.weight",
                "lora_shared_B" => "lora_B.weight",
                "lora_shared_scale" => {
                    let scale = tensor.to_kind(Kind::Double).double_value(&[0]);
                    scales.insert(module.to_owned(), scale);
                    continue;
                }
                _ if name.contains(".lora_") => {
                    made.left_out.push(name);
                    continue;
                }
                _ => {
                    made.base.insert(name, tensor);
                    continue;
                }
            };
            made.factors.insert(format!("{module}.{factor}"), tensor);
        }
        made.note_patterns(config, &scales)?;
        Ok(made)
    }

    /// Ranks and scales of MTLoRA that are not those of the first stage; `scales` are trained.
    fn note_patterns(
        &mut self,
        config: &MtLoraConfig,
        scales: &BTreeMap<String, f64>,
    ) -> Result<()> {
        for (name, tensor) in &self.factors {
            let Some(module) = name.strip_suffix(".lora_A.weight") else { continue };
            let rank = tensor.size()[0];
            let scale = match scales.get(module) {
                Some(scale) => *scale,
                None => scale_of(config, module)?,
            };
            if rank != self.r {
                self.rank_pattern.insert(exactly(module), rank);
            }
            let alpha = scale * rank as f64;
            if alpha != self.lora_alpha {
                self.alpha_pattern.insert(exactly(module), alpha);
            }
        }
        Ok(())
    }

    /// One pair of factors of each fused matrix whose parts have some.
    fn join_parts(
        &mut self,
        parts: &mut Tensors,
        base: &Tensors,
        whole: &mut Tensors,
    ) -> Result<()> {
        while let Some(path) = parts.keys().next().and_then(|name| part_of(name)) {
            let weight = base.get(&format!("{path}.weight"));
            let weight = weight.ok_or_else(|| refused(&path, "its weight is absent"))?;
            let third = weight.size()[0] / 3;
            let (mut all_a, mut all_b, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
            for (index, part) in PARTS.iter().enumerate() {
                let rows = weight.narrow(0, index as i64 * third, third);
                let name = |end: &str| format!("{path}.{part}.{end}");
                let magnitude = parts.remove(&name(MAGNITUDE)).filter(has_started);
                lengths.push(magnitude.unwrap_or_else(|| row_lengths(&rows)));
                let Some(a) = parts.remove(&name("lora_A.weight")) else { continue };
                let b = take(parts, &name("lora_B.weight"))?;
                let before = index as i64 * third;
                all_b.push(b.constant_pad_nd([0, 0, before, 2 * third - before]));
                all_a.push(a);
            }
            let pairs = all_a.len() as i64;
            whole
                .insert(format!("{path}.lora_A.weight"), Tensor::f_cat(&all_a, 0).map_err(tensor)?);
            whole
                .insert(format!("{path}.lora_B.weight"), Tensor::f_cat(&all_b, 1).map_err(tensor)?);
            if self.use_dora {
                whole.insert(format!("{path}.{MAGNITUDE}"), Tensor::cat(&lengths, 0));
            }
            if pairs > 1 {
                self.rank_pattern.insert(exactly(&path), pairs * self.r);
                self.alpha_pattern.insert(exactly(&path), pairs as f64 * self.lora_alpha);
            }
        }
        Ok(())
    }

    /// A magnitude of zeros has not started, and stands for the lengths of the weight's rows.
    fn start_magnitudes(&mut self, base: &Tensors) -> Result<()> {
        for (name, tensor) in &mut self.factors {
            let Some(module) = name.strip_suffix(&format!(".{MAGNITUDE}")) else { continue };
            if has_started(tensor) {
                continue;
            }
            let weight = base.get(&format!("{module}.weight"));
            *tensor = row_lengths(weight.ok_or_else(|| refused(module, "its weight is absent"))?);
        }
        Ok(())
    }

    /// The backbone with the factors merged into it.
    ///
    /// # Errors
    /// Factors that fit no weight.
    pub fn merged(&self) -> Result<Tensors> {
        let text = self.config_json(&[]).to_string();
        let path = Path::new(CONFIG);
        let config = PeftConfig::parse(path, text.as_bytes())?;
        PeftAdapter::new(path.into(), config, copy(&self.factors)).merge(&self.base)
    }

    fn modules(&self) -> Vec<&str> {
        self.factors.keys().filter_map(|name| name.strip_suffix(".lora_A.weight")).collect()
    }

    fn config_json(&self, modules_to_save: &[&str]) -> Value {
        json!({
            "peft_type": "LORA",
            "task_type": null,
            "base_model_name_or_path": null,
            "inference_mode": true,
            "r": self.r,
            "lora_alpha": self.lora_alpha,
            "lora_dropout": self.lora_dropout,
            "use_dora": self.use_dora,
            "rank_pattern": self.rank_pattern,
            "alpha_pattern": self.alpha_pattern,
            "target_modules": self.modules(),
            "bias": "none",
            "fan_in_fan_out": false,
            "modules_to_save": (!modules_to_save.is_empty()).then_some(modules_to_save),
        })
    }
}

/// Writes `adapter` into `dir`, beside its factors the tensors of `modules_to_save` among `whole`,
/// names within the backbone.
///
/// `target_modules` are the names of all modules that have factors: an end such as `proj` would be
/// that of other layers too once PEFT looks for it.
///
/// # Errors
/// A folder that cannot be written.
pub fn save_peft(
    dir: &Path,
    adapter: &PeftFactors,
    whole: &Tensors,
    modules_to_save: &[&str],
) -> Result<()> {
    let is_whole = |name: &str| {
        let below =
            |module: &&str| name.strip_prefix(*module).is_some_and(|rest| rest.starts_with('.'));
        modules_to_save.iter().any(below)
    };
    let whole = whole.iter().filter(|(name, _)| is_whole(name));
    let tensors = adapter.factors.iter().chain(whole);
    let tensors =
        tensors.map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor.contiguous())).collect();
    std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.into(), source })?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    file::save(&dir.join(MODEL), &tensors, metadata)?;
    let text = format!("{:#}\n", adapter.config_json(modules_to_save));
    Ok(file::write_aside(&dir.join(CONFIG), text.as_bytes())?)
}

/// The fused matrix whose part the factor `name` adapts.
fn part_of(name: &str) -> Option<String> {
    PARTS.iter().find_map(|part| {
        let (attn, _) = name.split_once(&format!(".qkv.{part}.lora_"))?;
        Some(format!("{attn}.qkv"))
    })
}

fn has_started(magnitude: &Tensor) -> bool {
    magnitude.abs().max().double_value(&[]) > 0.0
}

/// The key of a pattern that means the module `name` alone: PEFT takes a key for an end of names.
fn exactly(name: &str) -> String {
    format!("^{}", name.replace('.', r"\."))
}

/// The scale that `config` gives the shared factors of `module`, whose name tells a Swin's stage.
fn scale_of(config: &MtLoraConfig, module: &str) -> Result<f64> {
    if let PerStage::All(scale) = config.scale {
        return Ok(scale);
    }
    let stage =
        module.strip_prefix("layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
    let stage = stage.ok_or_else(|| {
        refused("mtlora", "names of a plain ViT do not tell the stages that `scale` lists")
    })?;
    Ok(config.shared_scale(stage))
}

fn row_lengths(weight: &Tensor) -> Tensor {
    let rows = weight.to_kind(Kind::Float).square();
    rows.sum_dim_intlist([1i64].as_slice(), false, Kind::Float).sqrt()
}

fn refused(name: &str, reason: &str) -> Error {
    Error::NotInPeft { name: name.into(), reason: reason.into() }
}

fn tensor(cause: polyptych_tensor::TchError) -> Error {
    Error::Tensor(cause.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::load_peft;
    use polyptych_tensor::Device;

    fn draw(shape: [i64; 2]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn close(a: &Tensor, b: &Tensor) {
        assert!((a - b).abs().max().double_value(&[]) < 1e-5);
    }

    fn saved(config: &AdapterConfig, tensors: &Tensors) -> (Tensors, Value) {
        let dir = tempfile::tempdir().unwrap();
        let adapter = PeftFactors::of(config, tensors).unwrap();
        save_peft(dir.path(), &adapter, &adapter.base, &[]).unwrap();
        let merged = load_peft(dir.path()).unwrap().merge(&adapter.base).unwrap();
        let text = std::fs::read_to_string(dir.path().join(CONFIG)).unwrap();
        (merged, serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn parts_of_a_fused_matrix_are_one_pair_of_factors() {
        for method in ["lora", "dora"] {
            let config = json!({"method": method, "r": 2, "target_modules": ["q", "v"]});
            let config: AdapterConfig = serde_json::from_value(config).unwrap();
            let path = "blocks.0.attn.qkv";
            let mut tensors = Tensors::from([(format!("{path}.weight"), draw([9, 4]))]);
            for part in ["q", "v"] {
                tensors.insert(format!("{path}.{part}.lora_A.weight"), draw([2, 4]));
                tensors.insert(format!("{path}.{part}.lora_B.weight"), draw([3, 2]));
                if method == "dora" {
                    let length = draw([3, 1]).view([3]).abs() + 0.1;
                    tensors.insert(format!("{path}.{part}.{MAGNITUDE}"), length);
                }
            }
            let (merged, json) = saved(&config, &tensors);
            assert_eq!(json["rank_pattern"], json!({r"^blocks\.0\.attn\.qkv": 4}));
            let weight = &tensors[&format!("{path}.weight")];
            for (part, start) in [("q", 0), ("v", 6)] {
                let of = |name: &str| &tensors[&format!("{path}.{part}.{name}")];
                let rows = weight.narrow(0, start, 3);
                let mut rows = rows + of("lora_B.weight").matmul(of("lora_A.weight")) * 4.0;
                if method == "dora" {
                    let gain = of(MAGNITUDE) / row_lengths(&rows);
                    rows *= gain.unsqueeze(1);
                }
                close(&merged[&format!("{path}.weight")].narrow(0, start, 3), &rows);
            }
            close(&merged[&format!("{path}.weight")].narrow(0, 3, 3), &weight.narrow(0, 3, 3));
        }
    }

    #[test]
    fn magnitudes_that_have_not_started_are_lengths_of_rows() {
        let config = json!({"method": "dora", "r": 2, "target_modules": ["q", "v"]});
        let config: AdapterConfig = serde_json::from_value(config).unwrap();
        let path = "blocks.0.attn.qkv";
        let weight = draw([9, 4]);
        let mut tensors = Tensors::from([(format!("{path}.weight"), weight.copy())]);
        for part in ["q", "v"] {
            tensors.insert(format!("{path}.{part}.lora_A.weight"), draw([2, 4]));
            tensors.insert(format!("{path}.{part}.lora_B.weight"), draw([3, 2]).zeros_like());
            tensors.insert(format!("{path}.{part}.{MAGNITUDE}"), Tensor::from_slice(&[0f32; 3]));
        }
        let (merged, _) = saved(&config, &tensors);
        close(&merged[&format!("{path}.weight")], &weight);
    }

    #[test]
    fn ranks_and_scales_of_mtloras_stages_are_patterns() {
        let config = json!({"method": "mtlora", "r": [2, 4], "scale": [3.0, 0.5]});
        let config: AdapterConfig = serde_json::from_value(config).unwrap();
        let mut tensors = Tensors::new();
        let modules = [
            ("layers.0.blocks.0.mlp.fc1", 2, 3.0),
            ("layers.1.blocks.0.mlp.fc1", 4, 0.5),
            ("layers.1.blocks.10.mlp.fc1", 4, 0.5),
        ];
        for (module, r, _) in modules {
            tensors.insert(format!("{module}.weight"), draw([5, 4]));
            tensors.insert(format!("{module}.lora_shared_A"), draw([r, 4]));
            tensors.insert(format!("{module}.lora_shared_B"), draw([5, r]));
        }
        let (merged, json) = saved(&config, &tensors);
        for (module, _, scale) in modules {
            let of = |name: &str| &tensors[&format!("{module}.{name}")];
            let product = of("lora_shared_B").matmul(of("lora_shared_A")) * scale;
            close(&merged[&format!("{module}.weight")], &(of("weight") + product));
        }
        let second = [r"^layers\.1\.blocks\.0\.mlp\.fc1", r"^layers\.1\.blocks\.10\.mlp\.fc1"];
        assert_eq!((&json["r"], &json["lora_alpha"]), (&json!(2), &json!(6.0)));
        assert_eq!(json["rank_pattern"], json!({second[0]: 4, second[1]: 4}));
        assert_eq!(json["alpha_pattern"], json!({second[0]: 2.0, second[1]: 2.0}));
        let of_a_vit = Tensors::from([
            ("blocks.0.mlp.fc1.lora_shared_A".to_owned(), draw([2, 4])),
            ("blocks.0.mlp.fc1.lora_shared_B".to_owned(), draw([5, 2])),
        ]);
        let message = PeftFactors::of(&config, &of_a_vit).unwrap_err().to_string();
        assert!(message.contains("do not tell the stages that `scale` lists"), "{message}");
    }

    #[test]
    fn what_mtloras_tasks_share_is_an_adapter() {
        let config = json!({"method": "mtlora", "r": 2, "scale": 3.0, "learnable_scale": true});
        let config: AdapterConfig = serde_json::from_value(config).unwrap();
        let names = ["weight", "lora_shared_A", "lora_shared_B", "lora_tasks_A.depth"];
        let shapes = [[5, 4], [2, 4], [5, 2], [2, 4]];
        let mut tensors: Tensors = names
            .iter()
            .zip(shapes)
            .map(|(name, shape)| (format!("fc1.{name}"), draw(shape)))
            .collect();
        tensors.insert("fc1.lora_shared_scale".into(), Tensor::from_slice(&[0.5f32]));
        let (merged, _) = saved(&config, &tensors);
        let product = tensors["fc1.lora_shared_B"].matmul(&tensors["fc1.lora_shared_A"]);
        close(&merged["fc1.weight"], &(&tensors["fc1.weight"] + product * 0.5));
        assert!(merged.keys().eq(["fc1.weight"]));
        assert_eq!(
            PeftFactors::of(&config, &tensors).unwrap().left_out,
            ["fc1.lora_tasks_A.depth"]
        );
    }
}
