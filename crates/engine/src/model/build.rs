//! How a model is built from a recipe.

use std::cell::OnceCell;
use std::sync::Arc;

use polyptych_adapters::Form;
use polyptych_backbones::BackboneConfig;
use polyptych_data::TaskSpec;
use polyptych_distributed::Ranks;
use polyptych_tensor::{Device, Store, manual_seed};

use crate::model::fusion::FusedTowers;
use crate::model::heads::Heads;
use crate::model::language::LanguageLevels;
use crate::model::readers::{Readers, shares};
use crate::model::tasks::tasks;
use crate::model::text::TextTrunk;
use crate::model::trainable::Trainable;
use crate::model::trunk::Trunk;
use crate::{Model, Recipe, Result};

impl Model {
    /// Builds the model of `recipe` with random values and the recipe's trainable set.
    ///
    /// Copies per task begin with the values that they would have in a model of their task alone.
    ///
    /// # Errors
    /// A backbone that does not exist, an adapter or head that does not fit.
    pub fn new(recipe: &Recipe, specs: &[TaskSpec], form: Form, device: Device) -> Result<Self> {
        Self::new_among(Ranks::alone(), recipe, specs, form, device)
    }

    /// As [`Model::new`], for one of the processes that train it.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub(crate) fn new_among(
        ranks: Ranks,
        recipe: &Recipe,
        specs: &[TaskSpec],
        form: Form,
        device: Device,
    ) -> Result<Self> {
        let store = match recipe.train.sync_batch_norm && ranks.are_many() {
            true => Store::new(device).with_batch_sum(Arc::new(ranks.clone())),
            false => Store::new(device),
        };
        let size = recipe.data.img_size.map(|extent| extent as i64);
        let named = BackboneConfig::from_name(&recipe.backbone.name)?;
        let patched = recipe.backbone.patch_size.map(|side| named.with_patch_size(side));
        let backbone_config = patched
            .unwrap_or(Ok(named))?
            .with_img_size(size)
            .with_num_classes(0)
            .with_drop_path_rate(recipe.backbone.drop_path_rate);
        let tasks = tasks(recipe, specs)?;
        manual_seed(recipe.seed as i64);
        let text = TextTrunk::of_recipe(recipe, specs, form, &store)?;
        let text_features = text.as_ref().map_or(0, TextTrunk::num_features);
        let (mut trunks, mut heads) = (Vec::new(), Heads::default());
        for share in shares(recipe, tasks.len()) {
            manual_seed(recipe.seed as i64);
            let readers = Readers { specs, tasks: share.clone() };
            let trunk = Trunk::new(recipe, &backbone_config, &readers, form, &store)?;
            for task in &tasks[share] {
                heads.push(&store, trunk.backbone.as_ref(), text_features, task)?;
            }
            trunks.push(trunk);
        }
        let tower = text.as_ref().map(TextTrunk::tower);
        let fusion = FusedTowers::of_recipe(recipe, specs, &trunks[0], tower, &store)?;
        let language = LanguageLevels::of_recipe(recipe, specs, &trunks[0], text.as_ref(), &store)?;
        let kind = recipe.precision.kind();
        let learns = |&index: &usize| recipe.learns(&specs[index].name);
        let learning: Vec<usize> = (0..specs.len()).filter(learns).collect();
        let trainable = Trainable::new(&store, &trunks, text.as_ref(), &tasks, &learning);
        trainable.apply(&store);
        Ok(Self {
            store,
            tasks,
            trunks,
            text,
            fusion,
            language,
            backbone_config,
            heads,
            kind,
            learning,
            trainable,
            ranks,
            gradient_buckets: OnceCell::new(),
        })
    }
}
