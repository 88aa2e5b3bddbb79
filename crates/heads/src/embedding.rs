//! Embeddings of images and of texts in one space, as CLIP has them (arXiv 2103.00020, figure 3):
//! one matrix for each side, rows of length 1, and a temperature that is learned.

use polyptych_registry::Part;
use polyptych_tensor::{Init, Kind, Linear, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::error::{Error, Result};
use crate::head::{Head, HeadInput};

/// Inverse temperature that CLIP begins with, and the largest that it allows.
const SCALE: (f64, f64) = (1.0 / 0.07, 100.0);
/// Least length that a row is divided by.
const EPS: f64 = 1e-6;

/// What the space is like. Parameters: `image.weight` `[embed_dim, dim]`, `text.weight` likewise and
/// `logit_scale` `[1]`, the logarithm of the inverse temperature; the last two beside a text tower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// Numbers of an embedding; CLIP's ViT-B has 512.
    pub embed_dim: i64,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self { embed_dim: 512 }
    }
}

impl Part for EmbeddingConfig {
    const NAME: &'static str = "embedding";
    const SUMMARY: &'static str = "images and texts in one space, for tasks of retrieval";

    fn example() -> Self {
        Self { embed_dim: 8 }
    }
}

/// With the matrices of both sides.
#[derive(Debug)]
struct Embedding {
    image: Linear,
    text: Option<Text>,
}

#[derive(Debug)]
struct Text {
    matrix: Linear,
    logit_scale: Tensor,
}

impl HeadBuilder for EmbeddingConfig {
    fn is_dense(&self) -> bool {
        false
    }

    fn is_embedding(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<()> {
        match self.embed_dim {
            dim if dim > 0 => Ok(()),
            dim => Err(Error::config("embed_dim", "1 or more", dim)),
        }
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { pooled, text, .. }: FeatureDims,
        _outputs: i64,
    ) -> Result<Box<dyn Head>> {
        if pooled < 1 {
            return Err(Error::config("pooled_dim", "1 or more", pooled));
        }
        let matrix = |name: &str, dim| Linear::new(&scope.pp(name), dim, self.embed_dim, false);
        let beside = || -> Result<Text> {
            let logit_scale = scope.param("logit_scale", &[1], Init::Const(SCALE.0.ln()))?;
            Ok(Text { matrix: matrix("text", text)?, logit_scale })
        };
        let image = matrix("image", pooled)?;
        Ok(Box::new(Embedding { image, text: (text > 0).then(beside).transpose()? }))
    }
}

impl Head for Embedding {
    /// With texts `[batch, 2 * embed_dim]`: the image's row times the inverse temperature, then the
    /// text's, so that their products are logits; with candidates too, first the row of image and
    /// text together, their sum, then the candidate's. Without texts `[batch, embed_dim]`: the
    /// image's.
    fn forward(&self, features: &HeadInput, _train: bool) -> Result<Tensor> {
        let pooled = features.pooled.as_ref().ok_or(Error::NoPooled)?;
        let image = row(&self.image, "pooled", pooled)?;
        let (Some(text), Some(read)) = (&self.text, &features.text) else {
            return Ok(unit(&image));
        };
        let said = row(&text.matrix, "text", read)?;
        let [query, found] = match &features.candidate {
            Some(candidate) => [image + said, row(&self.image, "candidate", candidate)?],
            None => [image, said],
        };
        let scale = text.logit_scale.to_kind(Kind::Float).clamp_max(SCALE.1.ln()).exp();
        Ok(Tensor::cat(&[unit(&query) * scale, unit(&found)], 1))
    }
}

/// `x` in the space, in float32.
fn row(matrix: &Linear, key: &str, x: &Tensor) -> Result<Tensor> {
    let (found, dim) = (x.size(), matrix.weight.size()[1]);
    if found.len() != 2 || found[1] != dim {
        return Err(Error::Shape { key: key.into(), expected: format!("[batch, {dim}]"), found });
    }
    Ok(matrix.forward(x).to_kind(Kind::Float))
}

/// Rows of length 1.
fn unit(rows: &Tensor) -> Tensor {
    rows / rows.norm_scalaropt_dim(2.0, [1i64].as_slice(), true).clamp_min(EPS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store};

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    #[test]
    fn products_of_both_halves_are_logits() {
        let store = Store::new(Device::Cpu);
        let dims = FeatureDims { levels: &[], pooled: 6, text: 4 };
        let config = EmbeddingConfig { embed_dim: 3 };
        let head = config.build(&store.root(), dims, 1).unwrap();
        let (pooled, text) = (random(&[5, 6]), random(&[5, 4]));
        let input =
            |text| HeadInput { pooled: Some(pooled.shallow_clone()), text, ..HeadInput::default() };
        let y = head.forward(&input(Some(text)), true).unwrap();
        assert_eq!(y.size(), [5, 6]);
        let [image, text] = [y.narrow(1, 0, 3), y.narrow(1, 3, 3)];
        let lengths = |t: &Tensor| t.norm_scalaropt_dim(2.0, [1i64].as_slice(), false);
        assert!(lengths(&text).allclose(
            &text.new_ones([5], (Kind::Float, Device::Cpu)),
            1e-5,
            0.0,
            false
        ));
        let alone = head.forward(&input(None), false).unwrap();
        assert!(image.allclose(&(&alone / 0.07), 1e-4, 1e-5, false));
        (y * random(&[5, 6])).sum(Kind::Float).backward();
        store.check_gradients().unwrap();
        assert_eq!(
            store.trainable().iter().map(|(_, t)| t.numel()).sum::<usize>(),
            3 * 6 + 3 * 4 + 1
        );
    }

    #[test]
    fn bad_sizes_are_refused() {
        let message = EmbeddingConfig { embed_dim: 0 }.validate().unwrap_err().to_string();
        assert_eq!(message, "embed_dim: expected 1 or more, found 0");
        let store = Store::new(Device::Cpu);
        let dims = FeatureDims { levels: &[], pooled: 6, text: 4 };
        let head = EmbeddingConfig::example().build(&store.root(), dims, 1).unwrap();
        let input = HeadInput { pooled: Some(random(&[5, 4])), ..HeadInput::default() };
        let message = head.forward(&input, false).unwrap_err().to_string();
        assert_eq!(message, "pooled: expected shape [batch, 6], found [5, 4]");
    }
}
