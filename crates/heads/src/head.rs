//! What a head is, and what it reads.

use std::fmt::Debug;

use polyptych_tensor::{Activations, Kind, Tensor};

use crate::{Error, Result};

/// Features of one task.
#[derive(Debug, Default)]
pub struct HeadInput {
    /// The pyramid, finest level first: `[batch, height, width, dim]` each.
    pub levels: Vec<Tensor>,
    /// What a [`SharedDecoder`] makes of the pyramid, `[batch, height, width, hidden]`, for heads
    /// that read it in place of the levels.
    pub hidden: Option<Tensor>,
    /// Features of the whole image, `[batch, dim]`, where the backbone has them.
    pub pooled: Option<Tensor>,
    /// Features of the texts of a task that has some, `[batch, dim]`.
    pub text: Option<Tensor>,
    /// Features of the images that an image and its text ask for, `[batch, dim]`.
    pub candidate: Option<Tensor>,
}

/// Turns features into one task's output.
pub trait Head: Debug {
    /// Gives the raw output in float32, whatever the type of the features.
    ///
    /// `train` switches dropout on, and batch normalisation to the statistics of the batch.
    ///
    /// # Shapes
    /// Dense heads: `[batch, outputs, height, width]`, of the finest level's size times
    /// [`HeadBuilder::scale`](crate::HeadBuilder::scale). Heads of whole images:
    /// `[batch, outputs]`.
    ///
    /// # Errors
    /// Features of another shape than the head was built for; in training, a dense head with
    /// batch normalisation over a single position.
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor>;

    /// The token of the task, `[dim]`, and the factor on its squared cosines with those of other
    /// tasks; nothing where the head has no such token.
    fn task_token(&self) -> Option<(&Tensor, f64)> {
        None
    }
}

/// What the heads of several tasks read in place of the levels: the part of a decoder that they
/// share, which a step computes once.
pub trait SharedDecoder: Debug {
    /// `[batch, height, width, hidden]` of the finest level's size, in the type of `levels`. Where
    /// tasks have streams of their own, these pass stacked in the batch, with the same weights.
    ///
    /// # Errors
    /// Levels of other shapes than the decoder was built for.
    fn forward(&self, levels: &[Activations]) -> Result<Activations>;
}

/// Checks the levels against the dims in `feature_chs`, and that batch normalisation can learn
/// from them; gives height and width of the finest.
pub(crate) fn check_levels(
    levels: &[Tensor],
    feature_chs: &[i64],
    train: bool,
) -> Result<[i64; 2]> {
    let sizes: Vec<Vec<i64>> = levels.iter().map(Tensor::size).collect();
    let [batch, height, width] = check_sizes(&sizes, feature_chs)?;
    if train {
        check_positions([batch, height, width])?
    }
    Ok([height, width])
}

/// Checks that batch normalisation can learn from `batch * height * width` positions.
pub(crate) fn check_positions(extents: [i64; 3]) -> Result<()> {
    if extents.iter().product::<i64>() < 2 { Err(Error::OnePosition) } else { Ok(()) }
}

/// Checks the shapes of levels against the dims in `feature_chs`; gives batch, height and width of
/// the finest.
pub(crate) fn check_sizes(sizes: &[Vec<i64>], feature_chs: &[i64]) -> Result<[i64; 3]> {
    if sizes.len() != feature_chs.len() {
        return Err(Error::NumLevels { expected: feature_chs.len(), found: sizes.len() });
    }
    let batch = sizes.first().and_then(|size| size.first().copied());
    for (i, (found, dim)) in sizes.iter().zip(feature_chs).enumerate() {
        let fits = matches!(found[..], [b, h, w, d]
            if Some(b) == batch && d == *dim && b.min(h).min(w) > 0);
        if !fits {
            let batch = batch.filter(|_| i > 0).map_or("batch".into(), |b| b.to_string());
            let expected = format!("[{batch}, height, width, {dim}]");
            let found = found.clone();
            return Err(Error::Shape { key: format!("levels[{i}]"), expected, found });
        }
    }
    let [batch, height, width, _] = sizes[0][..] else { unreachable!("four axes") };
    Ok([batch, height, width])
}

/// The output of a head in the order that losses and metrics read, in float32.
pub(crate) fn channels_first(output: &Tensor) -> Tensor {
    output.permute([0, 3, 1, 2]).to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    fn zeros(shape: &[i64]) -> Tensor {
        Tensor::zeros(shape, (Kind::Float, Device::Cpu))
    }

    fn refusal(levels: &[&[i64]]) -> String {
        let levels: Vec<Tensor> = levels.iter().map(|shape| zeros(shape)).collect();
        check_levels(&levels, &[6, 12], false).unwrap_err().to_string()
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!(refusal(&[&[2, 4, 4, 6]]), "levels: expected 2, found 1");
        let message = refusal(&[&[2, 4, 4, 6], &[2, 2, 2, 6]]);
        let expected = "levels[1]: expected shape [2, height, width, 12], found [2, 2, 2, 6]";
        assert_eq!(message, expected);
        let message = refusal(&[&[2, 4, 4, 6], &[1, 2, 2, 12]]);
        let expected = "levels[1]: expected shape [2, height, width, 12], found [1, 2, 2, 12]";
        assert_eq!(message, expected);
        let message = refusal(&[&[2, 16, 6], &[2, 2, 2, 12]]);
        let expected = "levels[0]: expected shape [batch, height, width, 6], found [2, 16, 6]";
        assert_eq!(message, expected);
        let message = refusal(&[&[0, 4, 4, 6], &[0, 2, 2, 12]]);
        let expected = "levels[0]: expected shape [batch, height, width, 6], found [0, 4, 4, 6]";
        assert_eq!(message, expected);
    }
}
