//! What a model reads: images, and the texts of tasks that are about some.

use std::collections::BTreeMap;

use polyptych_backbones::TextTokens;
use polyptych_heads::HeadInput;
use polyptych_tensor::Tensor;

/// What a model reads.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// `[batch, 3, height, width]`.
    pub images: &'a Tensor,
    /// The texts of the images; none where only what is said of images alone is asked for.
    pub texts: Option<&'a Texts>,
}

/// The texts of a batch, by the places of their tasks on the task axis.
#[derive(Debug, Default)]
pub struct Texts(pub(super) BTreeMap<usize, TaskTexts>);

/// The texts of one task.
#[derive(Debug)]
pub(super) struct TaskTexts {
    pub(super) tokens: TextTokens,
    /// `[batch, 3, height, width]`: the images that image and text together ask for, where the task
    /// is about such.
    pub(super) candidates: Option<Tensor>,
}

/// What a task reads in its texts.
#[derive(Debug)]
pub(crate) struct TextInput {
    /// `[batch, dim]`.
    pub(crate) text: Tensor,
    /// Features of the images where the text was read beside them; those of images alone if absent.
    pub(crate) pooled: Option<Tensor>,
    /// Features of the images that are asked for.
    pub(crate) candidate: Option<Tensor>,
}

impl<'a> From<&'a Tensor> for Inputs<'a> {
    fn from(images: &'a Tensor) -> Self {
        Self { images, texts: None }
    }
}

impl TextInput {
    /// What a head reads beside `input`.
    pub(crate) fn beside(&self, input: HeadInput) -> HeadInput {
        let copy = |t: &Option<Tensor>| t.as_ref().map(Tensor::shallow_clone);
        HeadInput {
            pooled: copy(&self.pooled).or(input.pooled),
            text: Some(self.text.shallow_clone()),
            candidate: copy(&self.candidate),
            ..input
        }
    }
}
