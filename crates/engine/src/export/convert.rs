//! Weights of any source under timm's names, an adapter of PEFT's merged in where one is given.

use std::path::{Path, PathBuf};

use polyptych_adapters::{is_method_parameter, load_peft};
use polyptych_backbones::{BackboneConfig, Checkpoint, Options, Source, computed, prefix_of};
use polyptych_formats::file;
use polyptych_formats::pth::Choice;
use polyptych_tensor::{
    Device, Kind, LoadOptions, NoAdapter, Store, Tensor, Tensors, manual_seed, matches, no_grad,
};

use crate::error::io;
use crate::export::check::check;
use crate::model::header::header;
use crate::model::weights::open_weights;
use crate::{Difference, Error, Result};

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
    pub outputs: Option<Difference>,
    /// What was chosen in the file: which of several models, which prefix of names.
    pub notes: Vec<String>,
}

/// Writes `weights` (see [`load_backbone`](crate::load_backbone)) to `out`, a safetensors file
/// under timm's names, with the PEFT folder `adapter` merged in. `choice` says which weights are
/// meant, where there are several.
///
/// The file is written aside, read and compared, and has its name only then.
///
/// # Errors
/// Weights that cannot be found or read, an adapter that does not fit them, parameters of a
/// method among them, or outputs that the file does not give back.
pub fn convert(
    weights: &str,
    adapter: Option<&Path>,
    choice: &Choice,
    out: &Path,
) -> Result<Conversion> {
    let mut checkpoint = open_weights(weights, choice)?;
    let (source, mut notes) = (checkpoint.source, std::mem::take(&mut checkpoint.notes));
    let tensors = match adapter {
        Some(folder) => merged(&checkpoint, folder)?,
        None => std::mem::take(&mut checkpoint.tensors),
    };
    if let Some(name) = tensors.iter().find_map(|(name, t)| (!is_finite(t)).then_some(name)) {
        let reason = format!("{name}: expected finite numbers, found NaN or infinity");
        return Err(Error::Weights { name: weights.into(), reason });
    }
    let mut patterns = [&ELSEWHERE[..], &computed()].concat();
    if let Some(reason) = source.unusable_classifier(&tensors) {
        patterns.push("head.*");
        notes.push(reason.into());
    }
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
    let aside = aside(out);
    let checked = write_checked(&aside, &kept, config.as_ref());
    let placed = checked.and_then(|checked| {
        std::fs::rename(&aside, out).map_err(io(out))?;
        Ok(checked)
    });
    // The cause is on its way up; what cannot be removed adds nothing to it.
    let (difference, outputs) = placed.inspect_err(|_| drop(std::fs::remove_file(&aside)))?;
    let left_out = left_out.into_keys().collect();
    Ok(Conversion { source, written: kept.len(), left_out, difference, outputs, notes })
}

fn is_finite(tensor: &Tensor) -> bool {
    !tensor.is_floating_point() || tensor.isfinite().all().int64_value(&[]) == 1
}

/// The name that a file has until it is checked.
fn aside(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".unchecked");
    name.into()
}

/// The largest differences of the tensors and of the outputs once they are read back.
fn write_checked(
    path: &Path,
    tensors: &Tensors,
    config: Option<&BackboneConfig>,
) -> Result<(f64, Option<Difference>)> {
    file::save(path, tensors, header())?;
    let read = file::load(path)?.tensors;
    let outputs = config.map(|config| compare_outputs(config, [tensors, &read])).transpose()?;
    Ok((difference(tensors, &read), outputs))
}

fn merged(checkpoint: &Checkpoint, folder: &Path) -> Result<Tensors> {
    let adapter = load_peft(folder)?;
    let adapter = match checkpoint.source.rename_one() {
        Some(rename) => adapter.renamed(rename),
        None => {
            let prefix = prefix_of(adapter.tensors.keys().map(String::as_str)).to_owned();
            adapter.renamed(|name| name.strip_prefix(&prefix).unwrap_or(name).to_owned())
        }
    };
    Ok(adapter.merge(&checkpoint.tensors)?)
}

/// Largest difference of the outputs of one architecture with two sets of values.
fn compare_outputs(config: &BackboneConfig, both: [&Tensors; 2]) -> Result<Difference> {
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
                0 => features.into_shared(),
                _ => backbone.forward_head(&features, false).into_shared(),
            })
        })
    });
    let [written, read] = outputs;
    let difference = Difference::between(&read?, &written?);
    check(difference, "outputs").map(|()| difference)
}

fn difference(written: &Tensors, read: &Tensors) -> f64 {
    let worst = written.iter().map(|(name, tensor)| match read.get(name) {
        Some(found) if found.equal(tensor) => 0.0,
        Some(found) => (found - tensor).abs().max().double_value(&[]),
        None => f64::INFINITY,
    });
    worst.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use polyptych_formats::pth;

    use super::*;

    fn convert_changed(from: &str, change: impl Fn(&mut Tensors)) -> Result<(Conversion, Tensors)> {
        let folder = tempfile::tempdir().unwrap();
        let (weights, out) = (folder.path().join("in"), folder.path().join("out.safetensors"));
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../backbones/tests/peers");
        let peer = peers.join(from);
        let mut tensors = match pth::is_pth(&peer) {
            true => pth::load(&peer).unwrap(),
            false => file::load(&peer).unwrap().tensors,
        };
        change(&mut tensors);
        file::save(&weights, &tensors, HashMap::new()).unwrap();
        let done = convert(weights.to_str().unwrap(), None, &Choice::default(), &out)?;
        Ok((done, file::load(&out).unwrap().tensors))
    }

    #[test]
    fn numbers_that_are_not_finite_are_named() {
        for number in [f64::NAN, f64::INFINITY] {
            let refused = convert_changed("timm_vit.safetensors", |tensors| {
                drop(tensors.get_mut("norm.weight").unwrap().get(1).fill_(number));
            });
            let message = refused.unwrap_err().to_string();
            assert!(
                message.ends_with("norm.weight: expected finite numbers, found NaN or infinity")
            );
        }
    }

    #[test]
    fn a_classifier_of_patches_beside_the_class_token_is_left_out() {
        let dinov2 = "huggingface_dinov2/pytorch_model.bin";
        let (done, tensors) = convert_changed(dinov2, |tensors| {
            let name = "classifier.weight".to_owned();
            let width = tensors["embeddings.cls_token"].size()[2];
            tensors.insert(name, Tensor::zeros([5, 2 * width], (Kind::Float, Device::Cpu)));
        })
        .unwrap();
        assert!(done.left_out.contains(&"head.weight".to_owned()), "{:?}", done.left_out);
        assert!(done.notes[0].contains("the mean of the patches"), "{:?}", done.notes);
        assert!(!tensors.contains_key("head.weight"));
    }

    #[test]
    fn a_conversion_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (weights, out) = (folder.path().join("in"), folder.path().join("out.safetensors"));
        let peer = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../backbones/tests/peers/timm_vit.safetensors");
        let mut tensors = file::load(&peer).unwrap().tensors;
        let mut write = |name: &str, behind: &str| {
            tensors.insert(name.into(), Tensor::from_slice(&[0.0f32]));
            let named = tensors.iter().map(|(n, t)| (format!("{behind}{n}"), t.shallow_clone()));
            file::save(&weights, &named.collect(), HashMap::new()).unwrap();
            tensors.remove(name);
        };
        let run = || convert(weights.to_str().unwrap(), None, &Choice::default(), &out);
        for (name, behind, expected) in [
            ("neck_token", "", "found neck_token, which none of them has"),
            ("neck_token", "module.", "found neck_token, which none of them has"),
            ("neck_token", "my_net.", "behind `my_net.`: name it as the key of the weights"),
        ] {
            write(name, behind);
            for _ in 0..2 {
                let message = run().unwrap_err().to_string();
                assert!(message.ends_with(expected), "{message}");
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
            }
        }
        write("pre_logits/kernel", "_orig_mod.model.");
        let done = run().unwrap();
        assert_eq!((done.difference, done.left_out), (0.0, vec!["pre_logits/kernel".to_owned()]));
        assert!(out.exists());
    }
}
