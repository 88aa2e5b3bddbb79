//! Where an image tower and a text tower meet, for tasks that ask in images and texts at once.

use polyptych_adapters::{CrossAttention, Fusion};
use polyptych_backbones::{TextFeatures, TextTokens, TextTower};
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_tensor::{Activations, Device, Kind, Store, Tensor};

use crate::model::trunk::Trunk;
use crate::{Error, Recipe, Result};

/// Scope of the parameters.
pub(crate) const FUSION: &str = "fusion";

/// What stands behind every pair of blocks.
#[derive(Debug)]
pub(crate) struct FusedTowers {
    /// Places of the tasks on the task axis.
    pub(crate) tasks: Vec<usize>,
    blocks: Vec<Meeting>,
}

/// What each tower reads in the other.
#[derive(Debug)]
struct Meeting {
    image: CrossAttention,
    text: CrossAttention,
}

/// What goes into both towers.
pub(crate) struct FusedInputs<'a> {
    /// `[batch, 3, height, width]`, in the type that the model computes in.
    pub(crate) images: &'a Tensor,
    pub(crate) tokens: &'a TextTokens,
    /// Streams that the task has in the image tower and in the text tower.
    pub(crate) streams: [usize; 2],
    pub(crate) train: bool,
}

impl FusedTowers {
    /// What the method of `recipe` puts between `trunk` and `tower`, in `store`; none for most.
    ///
    /// # Errors
    /// A task that does not ask in images and texts, or towers whose blocks are no pairs.
    pub(crate) fn of_recipe(
        recipe: &Recipe,
        specs: &[TaskSpec],
        trunk: &Trunk,
        tower: Option<&TextTower>,
        store: &Store,
    ) -> Result<Option<Self>> {
        let Some(fusion) = recipe.adapter.fusion() else { return Ok(None) };
        let tasks = fusion.tasks.iter().map(|task| place(task, specs)).collect::<Result<_>>()?;
        let depth = trunk.backbone.meeting_blocks();
        let tower = tower.filter(|tower| depth > 0 && tower.config().depth == depth);
        let Some(tower) = tower else {
            let expected = match depth {
                0 => "a backbone of one resolution, such as a ViT".into(),
                depth => format!("a [text] of as many blocks as the backbone has, {depth}"),
            };
            return Err(wrong(format!(
                "the image and text towers need the same number of blocks: expected {expected}, \
                 found another"
            )));
        };
        let dims = [trunk.backbone.num_features(), tower.config().embed_dim];
        let scope = store.root().pp(FUSION).pp("blocks");
        let meeting = |index: usize| Meeting::new(&scope.pp(index), dims, &fusion);
        let blocks = (0..depth).map(meeting).collect::<Result<_>>()?;
        Ok(Some(Self { tasks, blocks }))
    }

    /// Features of the whole image and of its text, of the streams of one task.
    ///
    /// # Errors
    /// Images of another shape, tokens that the tower does not have.
    pub(crate) fn forward(
        &self,
        trunk: &Trunk,
        tower: &TextTower,
        inputs: FusedInputs,
    ) -> Result<[Tensor; 2]> {
        let FusedInputs { images, tokens, streams: [image, text], train } = inputs;
        let keep = within(tokens, images.device());
        let mut pass = tower.begin(&tower.embed(tokens, images.kind())?)?;
        let features = trunk.backbone.forward_meeting(images, train, &mut |index, x| {
            tower.step(&mut pass, index, train);
            let (v, u) = (x.task(image as i64), pass.streams().task(text as i64));
            let meeting = &self.blocks[index];
            let said = meeting.text.forward(&u, &v, None);
            pass.replace(with_task(pass.streams(), text, said));
            with_task(&x, image, meeting.image.forward(&v, &u, Some(&keep)))
        })?;
        let pooled = trunk.backbone.forward_head(&features, true).task(image as i64);
        let TextFeatures { pooled: said, .. } = tower.end(pass, &tokens.ends);
        Ok([pooled, said.task(text as i64)])
    }
}

impl Meeting {
    fn new(
        scope: &polyptych_tensor::Scope,
        [image, text]: [i64; 2],
        fusion: &Fusion,
    ) -> Result<Self> {
        Ok(Self {
            image: CrossAttention::new(&scope.pp("image"), [image, text], fusion)?,
            text: CrossAttention::new(&scope.pp("text"), [text, image], fusion)?,
        })
    }
}

/// The place of `task`, which asks in images and texts.
fn place(task: &str, specs: &[TaskSpec]) -> Result<usize> {
    let asks = |spec: &TaskSpec| spec.kind == TaskKind::ModifiedRetrieval;
    let found = specs.iter().position(|spec| spec.name == task && asks(spec));
    found.ok_or_else(|| {
        let able: Vec<&str> =
            specs.iter().filter(|spec| asks(spec)).map(|spec| spec.name.as_str()).collect();
        let able = if able.is_empty() { "none here".into() } else { able.join(", ") };
        wrong(format!("expected tasks of kind modified_retrieval ({able}), found {task}"))
    })
}

fn wrong(reason: String) -> Error {
    Error::Recipe { origin: "recipe".into(), key: "adapter.fusion".into(), reason }
}

/// Which tokens stand within their texts, `[batch, tokens]`.
fn within(tokens: &TextTokens, device: Device) -> Tensor {
    let places = Tensor::arange(tokens.ids.size()[1], (Kind::Int64, tokens.ids.device()));
    places.le_tensor(&tokens.ends.unsqueeze(1)).to_device(device)
}

/// `x` with `stream` as that of the task at `index`.
fn with_task(x: &Activations, index: usize, stream: Tensor) -> Activations {
    let Some(streams) = x.per_task() else { return Activations::Shared(stream) };
    let mut all = streams.unbind(0);
    all[index] = stream;
    x.shallow_clone().with_tasks(Tensor::stack(&all, 0))
}
