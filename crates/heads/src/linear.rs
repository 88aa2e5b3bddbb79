//! One matrix over features of the whole image: classification and tags.

use polyptych_registry::Part;
use polyptych_tensor::{Kind, Linear, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::error::{Error, Result};
use crate::head::{Head, HeadInput};

/// The linear head has nothing to choose. Parameters: `weight` `[outputs, dim]`, `bias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearConfig {}

#[derive(Debug)]
struct LinearHead {
    matrix: Linear,
    dim: i64,
}

impl Part for LinearConfig {
    const NAME: &'static str = "linear";
    const SUMMARY: &'static str = "one matrix, for tasks of whole images";

    fn example() -> Self {
        Self::default()
    }
}

impl HeadBuilder for LinearConfig {
    fn is_dense(&self) -> bool {
        false
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { pooled: pooled_dim, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        if pooled_dim < 1 {
            return Err(Error::config("pooled_dim", "1 or more", pooled_dim));
        }
        let matrix = Linear::new(scope, pooled_dim, outputs, true)?;
        Ok(Box::new(LinearHead { matrix, dim: pooled_dim }))
    }
}

impl Head for LinearHead {
    fn forward(&self, features: &HeadInput, _train: bool) -> Result<Tensor> {
        let pooled = features.pooled.as_ref().ok_or(Error::NoPooled)?;
        let found = pooled.size();
        if found.len() != 2 || found[1] != self.dim {
            let expected = format!("[batch, {}]", self.dim);
            return Err(Error::Shape { key: "pooled".into(), expected, found });
        }
        Ok(self.matrix.forward(pooled).to_kind(Kind::Float))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store};

    fn pooled(dim: i64) -> FeatureDims<'static> {
        FeatureDims { levels: &[], pooled: dim, text: 0 }
    }

    fn input(shape: &[i64], kind: Kind) -> HeadInput {
        let pooled = Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind);
        HeadInput { pooled: Some(pooled), ..HeadInput::default() }
    }

    #[test]
    fn it_is_one_matrix() {
        let store = Store::new(Device::Cpu);
        let head = LinearConfig {}.build(&store.root().pp("cls"), pooled(8), 5).unwrap();
        let x = input(&[3, 8], Kind::Float);
        let tensors = store.tensors();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cls.bias", "cls.weight"]);
        let expected = x.pooled.as_ref().unwrap().matmul(&tensors[1].1.tr());
        assert!(head.forward(&x, true).unwrap().allclose(&expected, 1e-5, 1e-6, false));
        let y = head.forward(&input(&[3, 8], Kind::BFloat16), false).unwrap();
        assert_eq!((y.kind(), y.size()), (Kind::Float, vec![3, 5]));
    }

    #[test]
    fn bad_features_are_refused() {
        let store = Store::new(Device::Cpu);
        let head = LinearConfig {}.build(&store.root(), pooled(8), 5).unwrap();
        let message = head.forward(&HeadInput::default(), false).unwrap_err().to_string();
        assert_eq!(message, "pooled: expected features of whole images, found none");
        let message = head.forward(&input(&[3, 7], Kind::Float), false).unwrap_err().to_string();
        assert_eq!(message, "pooled: expected shape [batch, 8], found [3, 7]");
        let message = LinearConfig {}.build(&store.root(), pooled(0), 5).unwrap_err().to_string();
        assert_eq!(message, "pooled_dim: expected 1 or more, found 0");
    }
}
