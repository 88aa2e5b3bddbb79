//! Where a text tower's values come from.

use polyptych_adapters::method_parameters;
use polyptych_backbones::text_weights;
use polyptych_tensor::{LoadOptions, LoadReport};

use crate::model::text::TEXT;
use crate::run::hub::{Hub, WEIGHTS};
use crate::{Model, Result, TextRecipe};

/// Loads the weights of the text tower; parameters of the adapter keep their initial values.
///
/// # Errors
/// Weights that cannot be found or read, or that do not fit.
pub(crate) fn load_text(model: &Model, recipe: &TextRecipe) -> Result<Option<LoadReport>> {
    if recipe.weights == "none" {
        return Ok(None);
    }
    let path = Hub::from_env().file(&recipe.weights, WEIGHTS)?;
    let tensors = text_weights(&path)?.into_iter();
    let named = tensors.map(|(name, tensor)| (format!("{TEXT}.{name}"), tensor)).collect();
    let allow_missing =
        [&["heads.*", "decoder.*", "backbone.*"][..], &method_parameters()].concat();
    let options = LoadOptions { allow_missing: &allow_missing, ..LoadOptions::default() };
    Ok(Some(model.store.load(&recipe.weights, &named, &options)?))
}
