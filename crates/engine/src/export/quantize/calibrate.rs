//! Ranges of inputs, and how far int8 forms are from what they stand for.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use polyptych_tensor::{Int8, Int8Weight, LinearForm, QuantizedInput, Tensor, Tensors, no_grad};

use super::options::QuantizeOptions;
use crate::model::int8::Int8Maps;
use crate::run::predict::network_input;
use crate::{ActivationRange, Error, ImageFiles, OpenRun, Result, to_tensor};

/// The int8 forms of a model's plain maps.
pub(super) struct Calibrated {
    pub(super) maps: Int8Maps,
    /// Names and errors of the maps, the largest errors first.
    pub(super) errors: Vec<(String, f64)>,
    /// Images that were seen.
    pub(super) images: usize,
}

impl Calibrated {
    /// Passes the photographs twice: for ranges, and for errors. `tensors` are the model's in
    /// float32, whatever it computes in.
    ///
    /// # Errors
    /// No photographs, or one that cannot be read; a model without plain maps.
    pub(super) fn of(
        run: &OpenRun,
        tensors: &Tensors,
        options: &QuantizeOptions,
        note: &mut dyn FnMut(String),
    ) -> Result<Self> {
        let files = photographs(options)?;
        let maps: Vec<(String, LinearForm)> = run
            .model
            .linear_maps()
            .into_iter()
            .filter_map(|name| Some((name.clone(), run.model.store.linear(&name)?)))
            .collect();
        maps.iter().for_each(|(_, form)| form.observe());
        pass(run, &files)?;
        let mut int8 = Int8Maps::new();
        for (name, form) in &maps {
            let weight = tensors.get(&format!("{name}.weight"));
            if let (Some(range), Some(weight)) = (form.observed(), weight) {
                int8.insert(name.clone(), int8_form(weight, range, options.activations));
            }
        }
        run.model.set_int8_maps(&Int8Maps::new());
        let forms = maps.iter().filter_map(|(name, form)| Some((int8.get(name)?, form)));
        forms.for_each(|(int8, form)| form.compare(int8.clone()));
        pass(run, &files)?;
        let error = |(name, form): &(String, LinearForm)| {
            int8.contains_key(name).then(|| (name.clone(), form.error().unwrap_or_default()))
        };
        let mut errors: Vec<(String, f64)> = maps.iter().filter_map(error).collect();
        errors.sort_by(|a, b| b.1.total_cmp(&a.1));
        run.model.set_int8_maps(&Int8Maps::new());
        if errors.is_empty() {
            let reason = "expected plain linear maps in the backbone, found none".into();
            return Err(Error::Run { path: run.folder.path().into(), reason });
        }
        note(format!("calibrated {} linear maps on {} photographs", errors.len(), files.len()));
        Ok(Self { maps: int8, errors, images: files.len() })
    }
}

fn int8_form(weight: &Tensor, [least, most]: [f64; 2], activations: ActivationRange) -> Int8 {
    Int8 {
        weight: Rc::new(Int8Weight::quantize(weight)),
        input: QuantizedInput::between(least, most),
        per_token: activations == ActivationRange::Dynamic,
    }
}

fn pass(run: &OpenRun, files: &[PathBuf]) -> Result<()> {
    let input = run.recipe.loader(1);
    for file in files {
        let images = to_tensor(&network_input(file, &input)?, run.model.store.device());
        no_grad(|| run.model.forward(&images, false))?;
    }
    Ok(())
}

/// Some of the photographs that are named, at even distances.
fn photographs(options: &QuantizeOptions) -> Result<Vec<PathBuf>> {
    let files = ImageFiles::of(&options.calibrate, Path::new(""), |_| false)?.files;
    let wanted = options.num_samples.min(files.len());
    if wanted == 0 {
        let path = options.calibrate.first().cloned().unwrap_or_default();
        let reason = format!(
            "calibration: expected JPEG, PNG, WebP, TIFF or BMP images, at least 1, found {} and \
             --num-samples {}",
            files.len(),
            options.num_samples
        );
        return Err(Error::Run { path, reason });
    }
    Ok((0..wanted).map(|index| files[index * files.len() / wanted].clone()).collect())
}
