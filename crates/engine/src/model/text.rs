//! The text tower of a model: its plan, its tokenizer and its place in the store.

use std::collections::BTreeMap;
use std::rc::Rc;

use ndarray::Array4;
use polyptych_adapters::Form;
use polyptych_backbones::{BuiltText, TextConfig, TextTokens, TextTower, Tokenizer};
use polyptych_data::{Batch, Label, TaskSpec};
use polyptych_synthetic::{CaptionedScenes, Scenes};
use polyptych_tensor::{Device, Parameter, Plan, Site, Store, Tensor, Tensors};

use crate::model::fusion::{FusedInputs, FusedTowers};
use crate::model::inputs::{Inputs, TaskTexts, TextInput, Texts};
use crate::model::trunk::{Trunk, places};
use crate::recipe::text::BUILT_IN;
use crate::run::hub::{Hub, TOKENIZER};
use crate::{Error, Recipe, Result};

/// Scope of the text tower's parameters.
pub(crate) const TEXT: &str = "text";

/// The text tower with its plan.
#[derive(Debug)]
pub(crate) struct TextTrunk {
    pub(crate) plan: Rc<dyn Plan>,
    tower: TextTower,
    tokenizer: Tokenizer,
    /// Places on the task axis of the tasks that read texts, which are the plan's.
    readers: Vec<usize>,
    /// What the tower asked the plan for.
    sites: Vec<Site>,
    /// What building said of each of its parameters.
    parameters: BTreeMap<String, Parameter>,
    /// Where the store has each of the tower's tensors.
    places: BTreeMap<String, String>,
}

impl TextTrunk {
    /// Builds the tower of `recipe` in `store`; none where the recipe has none.
    ///
    /// # Errors
    /// Tasks of retrieval without a tower or the reverse, a tokenizer that cannot be read or does
    /// not fit, an adapter that does not fit.
    pub(crate) fn of_recipe(
        recipe: &Recipe,
        specs: &[TaskSpec],
        form: Form,
        store: &Store,
    ) -> Result<Option<Self>> {
        let task = specs.iter().find(|spec| spec.reads_texts());
        let reads = task.is_some() || recipe.adapter.language().is_some();
        let text = match (&recipe.text, task) {
            (Some(text), _) if reads => text,
            (Some(_), _) => {
                tracing::warn!("text: neither a task nor the method reads it; it is left out");
                return Ok(None);
            }
            (None, None) => return Ok(None),
            (None, Some(task)) => {
                let reason =
                    format!("expected a text tower for the task {}, found none", task.name);
                return Err(wrong("text", reason));
            }
        };
        let tokenizer =
            tokenizer(&text.tokenizer).map_err(|e| wrong("text.tokenizer", e.to_string()))?;
        let config = TextConfig::from_name(&text.name)
            .and_then(|config| config.for_vocab(tokenizer.vocab_size()))
            .map_err(|e| wrong("text", e.to_string()))?;
        let method = text.adapter.as_ref().unwrap_or(&recipe.adapter);
        let readers: Vec<usize> =
            (0..specs.len()).filter(|&index| specs[index].reads_texts()).collect();
        let names: Vec<String> = readers.iter().map(|&index| specs[index].name.clone()).collect();
        let names = if names.is_empty() { recipe.task_names() } else { names };
        let plan = method.plan(&names, form)?;
        let scope = store.root().pp(TEXT);
        let built = config.build(&scope, plan.as_ref());
        let BuiltText { tower, sites, parameters } =
            built.map_err(|e| wrong("text", e.to_string()))?;
        let parameters = parameters.into_iter().map(|own| (own.name.clone(), own)).collect();
        let places = places(store, scope.path());
        Ok(Some(Self { plan, tower, tokenizer, readers, sites, parameters, places }))
    }

    /// The tower.
    pub(crate) fn tower(&self) -> &TextTower {
        &self.tower
    }

    /// The tokens of `words`.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub(crate) fn tokens(&self, words: &[&str]) -> Result<TextTokens> {
        Ok(self.tokenizer.encode(words, self.tower.config().context_length)?)
    }

    /// Length of what a text becomes.
    pub(crate) fn num_features(&self) -> i64 {
        self.tower.config().num_features()
    }

    /// The texts of `batch`, for each of `specs` that is about texts. A sample without text, which
    /// no loss reads, has no words.
    ///
    /// # Errors
    /// A text that the tokenizer refuses.
    pub(crate) fn texts(
        &self,
        specs: &[&TaskSpec],
        batch: &Batch,
        device: Device,
    ) -> Result<Texts> {
        let mut texts = Texts::default();
        for &index in &self.readers {
            let name = &specs[index].name;
            let said = batch.samples.iter().map(|sample| sample.labels.get(name));
            let said: Vec<&str> =
                said.map(|label| label.and_then(Label::text).unwrap_or_default()).collect();
            let tokens = self.tokenizer.encode(&said, self.tower.config().context_length)?;
            let candidates = batch.candidates.get(name).map(|images| on_device(images, device));
            texts.0.insert(index, TaskTexts { tokens, candidates });
        }
        Ok(texts)
    }

    /// What each of the tasks `asked` reads in `inputs`, by their places; images are of the type that
    /// the model computes in.
    ///
    /// # Errors
    /// Tokens that the tower does not have, images of another shape.
    pub(crate) fn forward(
        &self,
        inputs: Inputs,
        asked: &[usize],
        (trunk, fusion): (&Trunk, Option<&FusedTowers>),
        train: bool,
    ) -> Result<BTreeMap<usize, TextInput>> {
        let Some(texts) = inputs.texts else { return Ok(BTreeMap::new()) };
        let mut read = BTreeMap::new();
        for (place, &index) in self.readers.iter().enumerate().filter(|(_, i)| asked.contains(i)) {
            let Some(texts) = texts.0.get(&index) else { continue };
            trunk.plan.choose_task(Some(index));
            self.plan.choose_task(Some(place));
            let towers = (trunk, fusion.filter(|fusion| fusion.tasks.contains(&index)));
            let input = self.of_task(inputs.images, texts, towers, [index, place], train);
            trunk.plan.choose_task(None);
            self.plan.choose_task(None);
            read.insert(index, input?);
        }
        Ok(read)
    }

    /// What one task reads; `streams` are its places in the image tower and in this one.
    fn of_task(
        &self,
        images: &Tensor,
        TaskTexts { tokens, candidates }: &TaskTexts,
        (trunk, fusion): (&Trunk, Option<&FusedTowers>),
        streams: [usize; 2],
        train: bool,
    ) -> Result<TextInput> {
        let kind = images.kind();
        let candidate = candidates.as_ref().map(|images| {
            let features = trunk.forward(&images.to_kind(kind), true, train)?;
            Ok::<_, Error>(features.pooled.map(|pooled| pooled.task(streams[0] as i64)))
        });
        let candidate = candidate.transpose()?.flatten();
        let Some(fusion) = fusion else {
            let text = self.tower.forward(tokens, kind, train)?.pooled.task(streams[1] as i64);
            return Ok(TextInput { text, pooled: None, candidate });
        };
        let inputs = FusedInputs { images, tokens, streams, train };
        let [pooled, text] = fusion.forward(trunk, &self.tower, inputs)?;
        Ok(TextInput { text, pooled: Some(pooled), candidate })
    }

    /// Names in the store of what does not train.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = &str> {
        let trains = |name: &str| self.parameters.get(name).is_some_and(|own| own.trains);
        let frozen = self.places.iter().filter(move |(name, _)| !trains(name));
        frozen.map(|(_, place)| place.as_str())
    }

    /// The task that alone depends on what the store has at `place`.
    pub(crate) fn owner_of(&self, place: &str) -> Option<&str> {
        let name = place.strip_prefix(TEXT)?.strip_prefix('.')?;
        self.parameters.get(name)?.owner.as_ref().map(|owner| owner.task.as_str())
    }

    /// The tower's tensors, under its own names, with everything merged that can be.
    ///
    /// # Errors
    /// A parameter of the method that is absent.
    pub(crate) fn merged(&self, stored: &Tensors) -> Result<Tensors> {
        let found = self.places.iter().filter_map(|(name, place)| {
            stored.get(place).map(|tensor| (name.clone(), tensor.shallow_clone()))
        });
        Ok(self.plan.merge(&self.sites, &found.collect())?)
    }
}

fn on_device(images: &Array4<f32>, device: Device) -> Tensor {
    let shape: Vec<i64> = images.shape().iter().map(|&extent| extent as i64).collect();
    let numbers: Vec<f32> = images.iter().copied().collect();
    Tensor::from_slice(&numbers).view(shape.as_slice()).to_device(device)
}

fn tokenizer(name: &str) -> Result<Tokenizer> {
    if name != BUILT_IN {
        return Ok(Tokenizer::open(&Hub::from_env().file(name, TOKENIZER)?)?);
    }
    let words = built_in_words();
    Ok(Tokenizer::of_words(&words.iter().map(String::as_str).collect::<Vec<_>>())?)
}

/// The words of captions, then those of the scenes' tasks and classes, each once.
fn built_in_words() -> Vec<String> {
    let captions = CaptionedScenes::vocabulary().iter().map(|word| (*word).to_owned());
    let specs = Scenes::task_specs().into_iter();
    let names =
        specs.flat_map(|spec| std::iter::once(spec.name.replace('_', " ")).chain(spec.classes));
    let mut words: Vec<String> = captions.collect();
    for word in names.collect::<Vec<_>>().iter().flat_map(|name| name.split(' ')) {
        if !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}

fn wrong(key: &str, reason: String) -> Error {
    Error::Recipe { origin: "recipe".into(), key: key.into(), reason }
}
