//! Levels that read the names of classes, by the text tower of the recipe.

use polyptych_adapters::{Language, LanguageNeck};
use polyptych_backbones::{TextTokens, TextTower};
use polyptych_data::TaskSpec;
use polyptych_tensor::{Activations, Init, Kind, Store, Tensor};

use crate::model::text::TextTrunk;
use crate::model::trunk::Trunk;
use crate::{Error, Recipe, Result};

/// Scope of the parameters.
pub(crate) const LANGUAGE: &str = "language";

/// What the levels of every task read.
#[derive(Debug)]
pub(crate) struct LanguageLevels {
    /// One for each level.
    necks: Vec<LanguageNeck>,
    /// One for each task, in the order of the task axis; none for tasks of whole images, which read
    /// no levels.
    tasks: Vec<Option<TaskPrompts>>,
}

/// The classes of one task in words.
#[derive(Debug)]
struct TaskPrompts {
    /// `[prompts, embed_dim]`, learned.
    prompts: Tensor,
    tokens: TextTokens,
}

impl LanguageLevels {
    /// What the method of `recipe` puts behind the levels of `trunk`, in `store`; none for most.
    ///
    /// # Errors
    /// No text tower, classes whose names it cannot read, a level that does not fit.
    pub(crate) fn of_recipe(
        recipe: &Recipe,
        specs: &[TaskSpec],
        trunk: &Trunk,
        text: Option<&TextTrunk>,
        store: &Store,
    ) -> Result<Option<Self>> {
        let Some(language) = recipe.adapter.language() else { return Ok(None) };
        let text = text.ok_or_else(|| Error::Recipe {
            origin: "recipe".into(),
            key: "adapter.language".into(),
            reason: "expected [text], whose tower reads the names of classes, found none".into(),
        })?;
        let scope = store.root().pp(LANGUAGE);
        let levels = trunk.backbone.feature_info().iter().enumerate();
        let necks = levels.map(|(level, info)| {
            let dims = [info.num_chs, text.num_features()];
            Ok(LanguageNeck::new(&scope.pp("levels").pp(level), dims, &language)?)
        });
        let necks = necks.collect::<Result<_>>()?;
        let prompts = |spec: &TaskSpec| {
            let task = || TaskPrompts::new(&scope.pp("lv_prompts"), spec, text, &language);
            spec.is_dense().then(task).transpose()
        };
        let tasks = specs.iter().map(prompts).collect::<Result<_>>()?;
        Ok(Some(Self { necks, tasks }))
    }

    /// The levels as each task reads them.
    ///
    /// # Errors
    /// What the tower reports.
    pub(crate) fn forward(
        &self,
        tower: &TextTower,
        levels: &[Activations],
        kind: Kind,
        train: bool,
    ) -> Result<Vec<Activations>> {
        let classes = |task: &Option<TaskPrompts>| {
            task.as_ref().map(|task| task.embeddings(tower, kind, train)).transpose()
        };
        let classes = self.tasks.iter().map(classes).collect::<Result<Vec<_>>>()?;
        let read = |(neck, level): (&LanguageNeck, &Activations)| {
            let one = |(index, classes): (usize, &Option<Tensor>)| {
                let map = level.task(index as i64);
                classes.as_ref().map_or(map.shallow_clone(), |classes| neck.forward(&map, classes))
            };
            let maps: Vec<Tensor> = classes.iter().enumerate().map(one).collect();
            Activations::PerTask(Tensor::stack(&maps, 0))
        };
        Ok(self.necks.iter().zip(levels).map(read).collect())
    }
}

impl TaskPrompts {
    fn new(
        scope: &polyptych_tensor::Scope,
        spec: &TaskSpec,
        text: &TextTrunk,
        language: &Language,
    ) -> Result<Self> {
        let own = [spec.name.replace('_', " ")];
        let words = if spec.classes.is_empty() { &own[..] } else { &spec.classes };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let shape = [language.num_tokens, text.tower().config().embed_dim];
        let prompts = scope.param(&spec.name, &shape, Init::Normal(0.02))?;
        let tokens = text.tokens(&words)?;
        leave_room(&tokens, spec, text, language)?;
        Ok(Self { prompts, tokens })
    }

    /// Embeddings of the classes, `[classes, dim]`: the mark of the begin, prompts, the name.
    fn embeddings(&self, tower: &TextTower, kind: Kind, train: bool) -> Result<Tensor> {
        let words = tower.embed(&self.tokens, kind)?;
        let [classes, count, _] = words.size()[..] else { unreachable!("three axes") };
        let prompts = self.prompts.to_kind(kind).unsqueeze(0).expand([classes, -1, -1], false);
        let begin = words.narrow(1, 0, 1);
        let whole = Tensor::cat(&[begin, prompts, words.narrow(1, 1, count - 1)], 1);
        let mut pass = tower.begin(&whole)?;
        (0..tower.config().depth).for_each(|index| tower.step(&mut pass, index, train));
        let ends = &self.tokens.ends + self.prompts.size()[0];
        Ok(tower.end(pass, &ends).pooled.into_shared())
    }
}

/// Refuses prompts beside which the tower cannot read the longest of the names `tokens`.
fn leave_room(
    tokens: &TextTokens,
    spec: &TaskSpec,
    text: &TextTrunk,
    language: &Language,
) -> Result<()> {
    let (context, longest) = (text.tower().config().context_length, tokens.ids.size()[1]);
    if language.num_tokens + longest <= context {
        return Ok(());
    }
    let expected = format!(
        "at most {}, which is what names of {longest} tokens in the task {} leave of the {context} \
         that the text tower reads",
        context - longest,
        spec.name
    );
    let (key, found) = ("num_tokens".into(), language.num_tokens.to_string());
    Err(polyptych_adapters::Error::Config { key, expected, found }.into())
}
