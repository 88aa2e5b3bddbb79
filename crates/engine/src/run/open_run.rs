//! A trained or merged model, opened with what describes it.

use std::path::Path;

use polyptych_adapters::Form;
use polyptych_backbones::checkpoint::is_rounded_up;
use polyptych_data::TaskSpec;
use polyptych_formats::file;
use polyptych_tensor::{Device, LoadOptions, Precision, device};

use crate::model::int8;
use crate::run::{MERGE, MERGED_MODEL, RunFolder, same_recipe};
use crate::{ActivationRange, Baselines, Checkpoint, Model, QuantizeReport, Recipe, Result};

/// A trained model with what describes it.
#[derive(Debug)]
pub struct OpenRun {
    /// Its folder.
    pub folder: RunFolder,
    /// Its recipe.
    pub recipe: Recipe,
    /// The model with its trained values.
    pub model: Model,
    /// Whether the model has been merged.
    pub form: Form,
    /// What quantising did, where the model is quantised.
    pub quantized: Option<QuantizeReport>,
    /// What delta-m compares with.
    pub baselines: Option<Baselines>,
    /// Steps that the model was trained for.
    pub(crate) step: u64,
}

impl OpenRun {
    /// Opens the run or merged model in `path` on `device_name`, or on the recipe's own device.
    ///
    /// `best` takes the best checkpoint instead of the last one.
    ///
    /// # Errors
    /// A folder that is no run, a broken checkpoint, a device that is absent.
    pub fn open(path: &Path, best: bool, device_name: Option<&str>) -> Result<Self> {
        let folder = RunFolder::open(path)?;
        let (recipe, text) = folder.recipe()?;
        let device = device::resolve(device_name.unwrap_or(&recipe.device))?;
        let quantized = QuantizeReport::of_folder(path, device)?;
        let form = if path.join(MERGE).exists() { Form::Merged } else { Form::Adapted };
        let mut step = recipe.train.steps;
        let (mut tensors, origin, rounded_up) = match form {
            Form::Merged => {
                let path = path.join(MERGED_MODEL);
                let file = file::load(&path)?;
                let rounded_up = is_rounded_up(&file.metadata);
                (file.tensors, path.display().to_string(), rounded_up)
            }
            Form::Adapted => {
                let checkpoint = Checkpoint::open(&folder.checkpoints(), best)?;
                same_recipe(path, &checkpoint, &text)?;
                step = checkpoint.state.step;
                let origin = folder.checkpoints().display().to_string();
                (checkpoint.model, origin, checkpoint.rounded_up)
            }
        };
        let model = empty_model(&recipe, &folder.specs()?, form, device)?;
        model.refuse_rounded_down(&origin, rounded_up)?;
        let maps = quantized.as_ref().map(|report| {
            let per_token = report.activations == ActivationRange::Dynamic;
            int8::take(&origin, &mut tensors, per_token)
        });
        let maps = maps.transpose()?;
        model.store.load(&origin, &tensors, &LoadOptions::default())?;
        maps.map_or(Ok(()), |maps| model.keep_int8_maps(&origin, &maps))?;
        model.set_progress(step, recipe.train.steps);
        let baselines = folder.baselines()?;
        Ok(Self { folder, recipe, model, form, quantized, baselines, step })
    }

    /// The recipe, computed in float32.
    pub(crate) fn recipe_in_float32(&self) -> Recipe {
        Recipe { precision: Precision::Fp32, ..self.recipe.clone() }
    }

    /// A copy of the model that computes in float32.
    ///
    /// # Errors
    /// A description of the tasks that cannot be read.
    pub(crate) fn model_in_float32(&self) -> Result<Model> {
        let (recipe, device) = (self.recipe_in_float32(), self.model.store.device());
        let model = Model::new(&recipe, &self.folder.specs()?, self.form, device)?;
        let tensors = self.model.float_tensors();
        model.store.load("trained model", &tensors, &LoadOptions::default())?;
        model.set_progress(self.step, self.recipe.train.steps);
        Ok(model)
    }
}

fn empty_model(recipe: &Recipe, specs: &[TaskSpec], form: Form, device: Device) -> Result<Model> {
    let model = Model::new(recipe, specs, form, device)?;
    model.store_frozen();
    Ok(model)
}
