//! The heads of a model.

use polyptych_backbones::Backbone;
use polyptych_heads::{FeatureDims, Head, HeadInput, SharedDecoder, upsample};
use polyptych_kernels::set_gradient;
use polyptych_tensor::{Activations, Kind, Store, Tensor};

use crate::Result;
use crate::model::task::Task;

/// Scope of the decoder that heads share.
pub(crate) const DECODER: &str = "decoder";

/// One head for every task, in the order of the task axis.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    heads: Vec<TaskHead>,
    /// What some of them read in place of the levels.
    decoder: Option<Box<dyn SharedDecoder>>,
}

#[derive(Debug)]
struct TaskHead {
    head: Box<dyn Head>,
    /// Whether it makes maps, which get the size of the image.
    is_dense: bool,
    shares_decoder: bool,
}

impl Heads {
    /// Builds the head of the next task, behind `backbone` and a text tower of `text_features`
    /// numbers, 0 without one, in `store`; the first that shares a decoder brings it.
    ///
    /// # Errors
    /// A head that does not fit.
    pub(crate) fn push(
        &mut self,
        store: &Store,
        backbone: &dyn Backbone,
        text_features: i64,
        task: &Task,
    ) -> Result<()> {
        let chans: Vec<i64> = backbone.feature_info().iter().map(|info| info.num_chs).collect();
        let scope = store.root().pp("heads").pp(&task.spec.name);
        let outputs = task.spec.num_outputs() as i64;
        let features =
            FeatureDims { levels: &chans, pooled: backbone.num_features(), text: text_features };
        let config = &task.recipe.head;
        if self.decoder.is_none() {
            self.decoder = config.init_decoder(&store.root().pp(DECODER), features)?;
        }
        let head = config.init_beside_text(&scope, features, outputs)?;
        let (is_dense, shares_decoder) = (task.spec.is_dense(), config.shares_decoder());
        self.heads.push(TaskHead { head, is_dense, shares_decoder });
        Ok(())
    }

    /// What the heads of the tasks `asked` read of the decoder that they share; none where none
    /// of them does.
    ///
    /// # Errors
    /// Levels that do not fit it.
    pub(crate) fn hidden(
        &self,
        asked: &[usize],
        levels: &[Activations],
    ) -> Result<Option<Activations>> {
        let reads = asked.iter().any(|&index| self.heads[index].shares_decoder);
        let decoder = self.decoder.as_ref().filter(|_| reads);
        Ok(decoder.map(|decoder| decoder.forward(levels)).transpose()?)
    }

    /// What the head of the task at `index` makes of `input`: `[batch, outputs, height, width]` for
    /// an image of `size`, or `[batch, outputs]`.
    ///
    /// # Errors
    /// A head that fails.
    pub(crate) fn output(
        &self,
        index: usize,
        input: &HeadInput,
        size: [i64; 2],
        train: bool,
    ) -> Result<Tensor> {
        let TaskHead { head, is_dense, .. } = &self.heads[index];
        let raw = head.forward(input, train)?;
        Ok(if *is_dense { upsample(&raw, size)? } else { raw })
    }
}

impl Heads {
    /// Gives what trains in the head of `task` a gradient of 0, as a loss without labels would.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn without_gradient(store: &Store, task: &Task) -> Result<()> {
        zero_gradients(store, &prefix(task))
    }

    /// The same for the decoder, where no head that shares it is among those of `read`, tasks that
    /// a batch has labels of.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn decoder_without_gradient(
        &self,
        store: &Store,
        mut read: impl Iterator<Item = usize>,
    ) -> Result<()> {
        match self.decoder.is_none() || read.any(|index| self.heads[index].shares_decoder) {
            true => Ok(()),
            false => zero_gradients(store, &format!("{DECODER}.")),
        }
    }

    /// What the tokens of tasks have in common, `sum_{s < t} beta cos^2(tau_s, tau_t)`, where a head
    /// asks for that; none where no two do.
    pub(crate) fn diversity(&self) -> Option<Tensor> {
        let tokens: Vec<_> = self.heads.iter().filter_map(|head| head.head.task_token()).collect();
        let pairs = tokens.iter().enumerate().flat_map(|(index, (token, factor))| {
            tokens[..index].iter().filter(move |_| *factor > 0.0).map(move |(other, _)| {
                let norms = token.square().sum(Kind::Float) * other.square().sum(Kind::Float);
                token.dot(other).square() / norms.clamp_min(f64::from(f32::EPSILON)) * *factor
            })
        });
        pairs.reduce(|sum, term| sum + term)
    }
}

/// Where the parameters of the head of `task` lie, with a dot behind.
pub(crate) fn prefix(task: &Task) -> String {
    format!("heads.{}.", task.spec.name)
}

/// Gives what trains below `prefix` a gradient of 0.
fn zero_gradients(store: &Store, prefix: &str) -> Result<()> {
    let own = store.trainable().into_iter().filter(|(name, _)| name.starts_with(prefix));
    for (_, parameter) in own {
        set_gradient(&parameter, &parameter.zeros_like())?;
    }
    Ok(())
}
