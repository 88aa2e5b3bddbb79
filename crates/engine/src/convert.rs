//! Weights of any source under timm's names, an adapter of PEFT's folded in where one is given.

use std::path::Path;

use polyptych_adapters::{is_method_parameter, load_peft};
use polyptych_backbones::checkpoint::COMPUTED;
use polyptych_backbones::{BackboneConfig, Checkpoint, Options, Source, rename};
use polyptych_tensor::{
    Device, Kind, LoadOptions, NoAdapter, Store, Tensor, Tensors, file, manual_seed, matches,
    no_grad,
};

use crate::export::TOLERANCE;
use crate::weights::{header, open_weights};
use crate::{Error, Result};

/// What sources keep and timm's models lack.
const ELSEWHERE: [&str; 4] = ["heads.*", "pooler.*", "pre_logits/*", "embeddings.mask_token"];

/// Images on which outputs are compared.
pub const PROBE_IMAGES: i64 = 2;

/// What became of the weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// Who wrote them.
    pub source: Source,
    /// Tensors that were written.
    pub written: usize,
    /// Names that were left out, because timm computes or lacks them.
    pub left_out: Vec<String>,
    /// Largest difference between what was written and what the file gives back.
    pub difference: f64,
    /// Largest difference of a backbone's outputs with either on [`PROBE_IMAGES`] images of noise;
    /// none where the weights are no whole backbone, such as those of an adapter's sites alone.
    pub outputs: Option<f64>,
}

/// Writes `weights` (see [`load_backbone`](crate::load_backbone)) to `out`, a safetensors file
/// under timm's names, with the PEFT folder `adapter` folded in.
///
/// # Errors
/// Weights that cannot be found or read, an adapter that does not fit them, parameters of a
/// method among them, or outputs that the file does not give back.
pub fn convert(weights: &str, adapter: Option<&Path>, out: &Path) -> Result<Conversion> {
    let mut checkpoint = open_weights(weights)?;
    let source = checkpoint.source;
    let tensors = match adapter {
        Some(folder) => folded(&checkpoint, folder)?,
        None => std::mem::take(&mut checkpoint.tensors),
    };
    let patterns = [&ELSEWHERE[..], &COMPUTED].concat();
    let (left_out, kept): (Tensors, Tensors) =
        tensors.into_iter().partition(|(name, _)| matches(&patterns, name));
    if let Some(name) = kept.keys().find(|name| is_method_parameter(name)) {
        return Err(Error::Weights {
            name: weights.into(),
            reason: format!(
                "expected plain weights, found {name}: name the file as backbone.weights of a \
                 recipe of its method, and merge the run"
            ),
        });
    }
    let kept: Tensors = kept.into_iter().map(|(name, t)| (name, t.contiguous())).collect();
    let config = checkpoint.deduce(&kept)?;
    file::save(out, &kept, header())?;
    let read = file::load(out)?.tensors;
    Ok(Conversion {
        source,
        written: kept.len(),
        left_out: left_out.into_keys().collect(),
        difference: difference(&kept, &read),
        outputs: config.map(|config| compare_outputs(&config, [&kept, &read])).transpose()?,
    })
}

fn folded(checkpoint: &Checkpoint, folder: &Path) -> Result<Tensors> {
    let adapter = load_peft(folder)?;
    let adapter = match checkpoint.source {
        Source::HuggingFaceVit => adapter.renamed(rename::huggingface_vit_name),
        Source::HuggingFaceSwin => adapter.renamed(rename::huggingface_swin_name),
        _ => adapter,
    };
    Ok(adapter.fold(&checkpoint.tensors)?)
}

/// Largest difference of the outputs of one architecture with two sets of values.
fn compare_outputs(config: &BackboneConfig, both: [&Tensors; 2]) -> Result<f64> {
    manual_seed(0);
    let (in_chans, [height, width]) = config.image();
    let size = [PROBE_IMAGES, in_chans, height, width];
    let images = Tensor::randn(size, (Kind::Float, Device::Cpu));
    let outputs = both.map(|tensors| -> Result<Tensor> {
        let store = Store::new(Device::Cpu);
        let backbone = config.init(&store.root(), &NoAdapter::Frozen, Options::default())?;
        store.load("converted weights", tensors, &LoadOptions::default())?;
        no_grad(|| {
            let features = backbone.forward_features(&images, false)?;
            Ok(match config.num_classes() {
                0 => features.shared,
                _ => backbone.forward_head(&features, false).shared,
            })
        })
    });
    let [written, read] = outputs;
    let found = (written? - read?).abs().max().double_value(&[]);
    match found <= TOLERANCE {
        true => Ok(found),
        false => Err(Error::Merge { key: "outputs".into(), tolerance: TOLERANCE, found }),
    }
}

fn difference(written: &Tensors, read: &Tensors) -> f64 {
    let worst = written.iter().map(|(name, tensor)| match read.get(name) {
        Some(found) if found.equal(tensor) => 0.0,
        Some(found) => (found - tensor).abs().max().double_value(&[]),
        None => f64::INFINITY,
    });
    worst.fold(0.0, f64::max)
}
