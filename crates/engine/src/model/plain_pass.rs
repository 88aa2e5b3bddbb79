//! What a method sees of the plain backbone before the first step: features of training images,
//! computed once and remembered by data and weights.

use std::path::Path;

use polyptych_data::Loader;
use polyptych_formats::file;
use polyptych_tensor::{Kind, PlainPass, Tensor, Tensors};
use sha2::{Digest, Sha256};

use crate::model::experts::{cache, plain_tensors, values};
use crate::model::trunk::Trunk;
use crate::{DataSets, Model, Recipe, Result, to_tensor};

/// The tensor in a remembered file.
const FEATURES: &str = "features";

/// Shows training images, in order and unchanged, to a method that has to see what the plain backbone
/// makes of them; does nothing for others, and for those that have seen them.
///
/// What was found is kept as [`experts`](crate::model::experts) are.
///
/// # Errors
/// A sample that cannot be read, fewer images than the method needs.
pub(crate) fn prepare(model: &Model, recipe: &Recipe, data: &DataSets) -> Result<()> {
    for trunk in model.trunks() {
        let Some(pass) = trunk.plan.plain_pass().filter(|pass| !pass.is_ready()) else { continue };
        let kept = pass.needs_features_only() && recipe.backbone.weights != "none";
        let cache = if kept { cache() } else { None };
        let seen = Seen { model, recipe, data, trunk, pass };
        // What is refused is a setting of the method.
        let features = seen.features(cache.as_deref())?;
        pass.prepare(&features).map_err(polyptych_adapters::Error::from)?;
    }
    Ok(())
}

struct Seen<'a> {
    model: &'a Model,
    recipe: &'a Recipe,
    data: &'a DataSets,
    trunk: &'a Trunk,
    pass: &'a dyn PlainPass,
}

impl Seen<'_> {
    /// `[images, dim]`.
    fn features(&self, cache: Option<&Path>) -> Result<Tensor> {
        let Some(cache) = cache else { return self.computed() };
        let path = cache.join("features").join(format!("{}.safetensors", self.key()?));
        // What cannot be read is computed anew.
        let known = file::load(&path).ok().and_then(|mut known| known.tensors.remove(FEATURES));
        if let Some(features) = known.filter(|known| known.dim() == 2) {
            return Ok(features.to_device(self.model.store.device()));
        }
        let features = self.computed()?;
        // A cache that cannot be written costs time alone.
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let content = Tensors::from([(FEATURES.to_owned(), features.shallow_clone())]);
        let _ = folder.map(|()| file::save(&path, &content, Default::default()));
        Ok(features)
    }

    fn computed(&self) -> Result<Tensor> {
        let dataset = self.data.train.dataset().clone();
        let batch_size = self.recipe.data.batch_size;
        let loader = Loader::new(dataset, self.recipe.loader(batch_size))?;
        let (mut all, mut seen) = (Vec::new(), 0);
        for batch in loader.epoch(0, 0)? {
            let images = to_tensor(&batch?.images, self.model.store.device());
            seen += images.size()[0] as usize;
            let images = images.to_kind(self.recipe.precision.kind());
            all.push(self.trunk.plain_features(self.pass, &images)?);
            if seen >= self.pass.images() {
                break;
            }
        }
        Ok(Tensor::cat(&all, 0).to_kind(Kind::Float))
    }

    /// Hash of images, what is done to them, and the plain backbone.
    fn key(&self) -> Result<String> {
        let (data, mut hash) = (&self.recipe.data, Sha256::new());
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(self.data.record().text());
        let settings = (data.img_size, &data.mean, &data.std, &self.recipe.precision);
        hash.update(format!("{settings:?} {} {}", self.recipe.backbone.name, self.pass.images()));
        for (name, tensor) in &plain_tensors(self.model) {
            hash.update(name);
            for value in values(tensor)? {
                hash.update(value.to_le_bytes());
            }
        }
        Ok(format!("{:x}", hash.finalize()))
    }
}
