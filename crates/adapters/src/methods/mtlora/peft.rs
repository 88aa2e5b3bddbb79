//! What MTLoRA's tasks share, as an adapter of PEFT's.

use std::collections::BTreeMap;

use polyptych_tensor::{Kind, Tensors};

use super::config::{MtLoraConfig, SharedMode};
use super::per_stage::PerStage;
use crate::blocks::tensors::copy;
use crate::error::{Error, Result};
use crate::peft::factors::{PeftFactors, PeftSettings};

/// Takes the shared factors out of `tensors`, a trained backbone under its own names; those of
/// single tasks are left out.
///
/// # Errors
/// A mode without shared factors, or names that do not tell the stages that `scale` lists.
pub(super) fn factors(config: &MtLoraConfig, tensors: &Tensors) -> Result<PeftFactors> {
    if config.shared_mode == SharedMode::Addition {
        return Err(refused(
            "the shared stream of shared_mode = \"addition\" is made of the tasks' own",
        ));
    }
    let mut adapter = PeftFactors::empty(PeftSettings {
        r: config.shared_r(0),
        lora_alpha: config.shared_scale(0) * config.shared_r(0) as f64,
        lora_dropout: config.dropout(0),
        use_dora: false,
    });
    let mut scales = BTreeMap::new();
    for (name, tensor) in copy(tensors) {
        let (module, parameter) = name.rsplit_once('.').unwrap_or(("", &name));
        match parameter {
            "lora_shared_A" => {
                adapter.factors.insert(format!("{module}.lora_A.weight"), tensor);
            }
            "lora_shared_B" => {
                adapter.factors.insert(format!("{module}.lora_B.weight"), tensor);
            }
            "lora_shared_scale" => {
                let scale = tensor.to_kind(Kind::Double).double_value(&[0]);
                scales.insert(module.to_owned(), scale);
            }
            _ if name.contains(".lora_") => adapter.left_out.push(name),
            _ => {
                adapter.base.insert(name, tensor);
            }
        }
    }
    set_patterns(&mut adapter, config, &scales)?;
    Ok(adapter)
}

/// Ranks and scales that are not those of the first stage; `scales` are trained.
fn set_patterns(
    adapter: &mut PeftFactors,
    config: &MtLoraConfig,
    scales: &BTreeMap<String, f64>,
) -> Result<()> {
    let rank = |(name, tensor): (&String, &polyptych_tensor::Tensor)| {
        Some((name.strip_suffix(".lora_A.weight")?.to_owned(), tensor.size()[0]))
    };
    let ranks: Vec<(String, i64)> = adapter.factors.iter().filter_map(rank).collect();
    for (module, rank) in ranks {
        let scale = match scales.get(&module) {
            Some(scale) => *scale,
            None => scale_of(config, &module)?,
        };
        adapter.set_pattern(&module, rank, scale * rank as f64);
    }
    Ok(())
}

/// The scale that `config` gives the shared factors of `module`, whose name tells a Swin's stage.
fn scale_of(config: &MtLoraConfig, module: &str) -> Result<f64> {
    if let PerStage::All(scale) = config.scale {
        return Ok(scale);
    }
    let stage =
        module.strip_prefix("layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
    let stage = stage
        .ok_or_else(|| refused("names of a plain ViT do not tell the stages that `scale` lists"))?;
    Ok(config.shared_scale(stage))
}

fn refused(reason: &str) -> Error {
    Error::NotInPeft { name: "mtlora".into(), reason: reason.into() }
}
